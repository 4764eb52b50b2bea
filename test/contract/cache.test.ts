/** The cache: what it says it keeps it keeps; what it cannot keep it says so at once, and holds nobody up. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { machineMs } from '../support/machine_time.ts';
import { atOnce, onEveryBackend } from './backends.ts';

onEveryBackend('the cache', (backend) => {
  const [here, there] = [() => backend().instances[0].cache, () => backend().instances[1].cache];

  test('a value that was kept is found by both', async () => {
    const kept = await here().set('a', 'value', 60);
    expect(kept).toBe(here().state() === 'ok');
    expect(await there().get('a')).toBe(kept ? 'value' : undefined);
  });

  test('of forty that count at once each counts once', async () => {
    const counts = await atOnce(backend().instances, ({ cache }) => cache.count('b', 60));
    const counted = here().state() === 'ok';
    const each = counts.map((count) => count?.count).sort((a = 0, b = 0) => a - b);
    expect(each).toEqual(Array.from({ length: 40 }, (_, index) => (counted ? index + 1 : undefined)));
    if (counted) expect(counts.every((count) => count && count.secondsLeft > 0)).toBe(true);
  });

  test('a value is gone after its time, and a count starts again', async () => {
    await here().set('c', 'value', 1);
    await here().count('d', 1);
    await sleep(1100);
    expect(await there().get('c')).toBeUndefined();
    expect([1, undefined]).toContain((await there().count('d', 1))?.count);
  });

  test('a hundred commands take no longer than one of them may', async () => {
    const began = machineMs();
    await Promise.all(Array.from({ length: 100 }, (_, index) => here().get(`key ${index}`)));
    expect(machineMs() - began).toBeLessThan(500);
  });
});
