/** Counts in PostgreSQL: each event counts once, on any instance, and the window ends. */
import { expect, test } from 'vitest';
import { createCounts } from '../../src/storage/counts.ts';
import { atOnce, type Instance, onEveryBackend } from './backends.ts';

onEveryBackend('counts', (backend) => {
  const open = ({ database }: Instance) => createCounts(database, backend().now);

  test('of forty that count at once each counts once, and both find the same count', async () => {
    const counts = await atOnce(backend().instances, (on) => open(on).count('a', 60));
    const each = counts.map(({ count }) => count).sort((a, b) => a - b);
    expect(each).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
    for (const on of backend().instances) expect((await open(on).of('a'))?.count).toBe(40);
  });

  test('the first event starts the window, later ones do not prolong it, and after it the count starts again', async () => {
    const [here, there] = backend().instances.map(open) as [ReturnType<typeof open>, ReturnType<typeof open>];
    expect(await here.count('b', 60)).toEqual({ count: 1, secondsLeft: 60 });
    backend().pass(40);
    expect(await there.count('b', 60)).toEqual({ count: 2, secondsLeft: 20 });
    backend().pass(21);
    expect(await there.of('b')).toBeUndefined();
    expect(await here.count('b', 60)).toEqual({ count: 1, secondsLeft: 60 });
  });
});
