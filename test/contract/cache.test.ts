/** The cache: what it says it keeps it keeps; what it cannot keep it says so at once, and holds nobody up. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { machineMs } from '../support/machine_time.ts';
import { atOnce, onEveryBackend } from './backends.ts';

onEveryBackend('the cache', (backend) => {
  const [here, there] = [() => backend().instances[0].cache, () => backend().instances[1].cache];

  test('a value that was kept is found by both, and by nobody after it was taken', async () => {
    const kept = await here().set('a', 'value', 60);
    expect(kept).toBe(here().state() === 'ok');
    expect(await there().get('a')).toBe(kept ? 'value' : undefined);
    await there().take('a');
    expect(await here().get('a')).toBeUndefined();
  });

  test('of forty that take it at once at most one gets it', async () => {
    const kept = await here().set('b', 'value', 60);
    const taken = await atOnce(backend().instances, ({ cache }) => cache.take('b'));
    expect(taken.filter((value) => value !== undefined)).toEqual(kept ? ['value'] : []);
  });

  test('a value is gone after its time', async () => {
    await here().set('c', 'value', 1);
    await sleep(1100);
    backend().pass(2);
    expect(await there().get('c')).toBeUndefined();
  });

  test('a hundred commands take no longer than one of them may', async () => {
    const began = machineMs();
    await Promise.all(Array.from({ length: 100 }, (_, index) => here().get(`key ${index}`)));
    expect(machineMs() - began).toBeLessThan(500);
  });
});
