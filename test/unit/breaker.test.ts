/** When PostgreSQL counts as gone, and when it is only slow. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Breaker, createBreaker } from '../../src/storage/breaker.ts';

const goneMs = 900;
const refused = { code: 'temporarily_unavailable' };
let answers: boolean;
let probes: number;
let breaker: Breaker;
let isStarting: boolean;
beforeEach(() => {
  vi.useFakeTimers();
  [answers, probes, isStarting] = [true, 0, false];
  breaker = createBreaker(
    (withinMs) => {
      probes += 1;
      return answers
        ? new Promise<void>((resolve) => setTimeout(resolve, 10))
        : new Promise<void>((_, reject) => setTimeout(() => reject(new Error('no answer')), withinMs));
    },
    () => (isStarting ? Number.POSITIVE_INFINITY : goneMs),
  );
});
afterEach(() => {
  breaker.stop();
  vi.useRealTimers();
});

const after = (ms: number) => new Promise<string>((resolve) => setTimeout(() => resolve('an answer'), ms));

/** How it ends and when, in milliseconds from now. */
async function outcome(answer: Promise<unknown>): Promise<[unknown, number]> {
  const begun = performance.now();
  const ended = answer.then(
    (value): [unknown, number] => [value, performance.now() - begun],
    (error): [unknown, number] => [error, performance.now() - begun],
  );
  await vi.advanceTimersByTimeAsync(10_000);
  return ended;
}

test('a late answer of a database that is there is waited for, and asked about meanwhile', async () => {
  expect(await outcome(breaker.watch(after(5000)))).toEqual(['an answer', 5000]);
  expect(probes).toBeGreaterThan(5);
  expect(() => breaker.check()).not.toThrow();
});

test('what is answered in time asks nothing', async () => {
  expect(await outcome(breaker.watch(after(200)))).toEqual(['an answer', 200]);
  expect(probes).toBe(0);
});

test('a database that answers nothing is given up by all who wait, in time, and by those who come', async () => {
  answers = false;
  const late = after(400).then(() => breaker.watch(after(5000)));
  const [[error, at], [other, otherAt]] = await Promise.all([
    outcome(breaker.watch(after(5000))),
    outcome(late),
  ]);
  expect([error, other]).toMatchObject([refused, refused]);
  expect(Math.max(at, otherAt)).toBeLessThanOrEqual(goneMs);
  expect(() => breaker.check()).toThrow(expect.objectContaining(refused));
});

test('it is asked again until it answers, and then serves', async () => {
  answers = false;
  await outcome(breaker.watch(after(20_000)));
  answers = true;
  await vi.advanceTimersByTimeAsync(1000);
  expect(() => breaker.check()).not.toThrow();
  expect(await outcome(breaker.watch(after(100)))).toEqual(['an answer', 100]);
});

test('an answer that fails is that failure', async () => {
  const failing = after(100).then(() => Promise.reject(new Error('a conflict')));
  expect((await outcome(breaker.watch(failing)))[0]).toMatchObject({ message: 'a conflict' });
});

test('while the server starts, nothing counts as gone', async () => {
  [answers, isStarting] = [false, true];
  expect(await outcome(breaker.watch(after(5000)))).toEqual(['an answer', 5000]);
  expect(probes).toBe(0);
});
