import { setImmediate as pass } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createTurns } from '../../src/lib/turns.ts';

test('long work runs one piece at a time, in order, and the event loop passes several times in between', async () => {
  const turn = createTurns();
  const order: number[] = [];
  let passes = 0;
  const between: number[] = [];
  const all = Promise.all(
    [1, 2, 3].map(async (number) => {
      await turn();
      order.push(number);
      between.push(passes);
      passes = 0;
    }),
  );
  while (order.length < 3) {
    await pass();
    passes += 1;
  }
  await all;
  expect(order).toEqual([1, 2, 3]);
  // Each pass accepts one connection: with one pass a piece, 3 ms of work let in some 300 a second.
  for (const count of between.slice(1)) expect(count).toBeGreaterThanOrEqual(2);
  await turn();
});
