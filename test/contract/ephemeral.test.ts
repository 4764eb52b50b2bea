/** Short-lived state: kept, found by the other instance, taken once, gone in time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createEphemeral } from '../../src/storage/ephemeral.ts';
import { atOnce, type Instance, onEveryBackend } from './backends.ts';

onEveryBackend('ephemeral state', (backend) => {
  const open = ({ database }: Instance) => createEphemeral(database, backend().now);
  const both = () => backend().instances.map(open) as [ReturnType<typeof open>, ReturnType<typeof open>];

  test('what one instance keeps the other finds, and a later value replaces it', async () => {
    const [here, there] = both();
    await here.put('a', 'one', 60);
    expect(await there.get('a')).toBe('one');
    await there.put('a', 'two', 60);
    expect(await here.get('a')).toBe('two');
    await there.take('a');
    expect(await here.get('a')).toBeUndefined();
  });

  test('of forty that take it at once one gets it', async () => {
    const [here] = both();
    await here.put('b', 'value', 60);
    const taken = await atOnce(backend().instances, (on) => open(on).take('b'));
    expect(taken.filter((value) => value !== undefined)).toEqual(['value']);
    expect(await here.get('b')).toBeUndefined();
  });

  test('it expires', async () => {
    const [here, there] = both();
    await here.put('c', 'value', 1);
    await sleep(1100);
    backend().pass(2);
    expect(await there.get('c')).toBeUndefined();
    expect(await here.take('c')).toBeUndefined();
  });
});
