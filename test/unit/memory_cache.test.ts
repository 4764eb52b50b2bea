/** The in-process cache: bounded, and shared out among whoever fills it. */
import { expect, test } from 'vitest';
import { createMemoryCache } from '../../src/storage/memory_cache.ts';

const most = 10_000;

test('Load: whoever fills the cache loses what is theirs; others keep what is within their share, however old', async () => {
  const cache = createMemoryCache(() => 0, most);
  const keep = (key: string, owner: string) => cache.set(key, 'x'.repeat(1000 - key.length), 60, owner);
  await keep('ada', '198.51.100.1');
  await keep('state of a step', '');
  for (let n = 0; n < 100; n++) await keep(`flood ${n}`, '203.0.113.1');
  expect(await cache.get('ada')).toBeDefined();
  expect(await cache.get('state of a step')).toBeDefined();
  expect(await cache.get('flood 91')).toBeUndefined();
  expect(await cache.get('flood 92')).toBeDefined();
  // Two that flood share what there is.
  for (let n = 0; n < 100; n++) await keep(`more ${n}`, '203.0.113.2');
  const left = async (name: string) =>
    (await Promise.all(Array.from({ length: 100 }, (_, n) => cache.get(`${name} ${n}`)))).filter(Boolean)
      .length;
  expect([await left('flood'), await left('more')]).toEqual([4, 4]);
  expect(await cache.get('ada')).toBeDefined();
});

test('what has expired makes room first, and what is changed stays with its owner', async () => {
  let now = 0;
  const cache = createMemoryCache(() => now, most);
  const keep = (key: string, owner?: string) => cache.set(key, key[0]?.repeat(4000) ?? '', 60, owner);
  await cache.set('old', 'x'.repeat(4000), 1, 'ada');
  now = 2000;
  await keep('mine', 'ada');
  await keep('other', 'bob');
  expect((await cache.get('mine'))?.length).toBe(4000);
  // Changed by who names no owner: it counts as ada's, who then holds the most.
  await keep('mine');
  await keep('third', 'ada');
  expect([await cache.get('mine'), await cache.get('other')].map(Boolean)).toEqual([false, true]);
});
