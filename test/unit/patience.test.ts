/** One measure of waiting for all statements of a request: it holds in sum, counts parallel waits once, and is no one else's. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createPatience } from '../../src/storage/patience.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const patience = createPatience(800);
const after = (ms: number) => new Promise<string>((resolve) => setTimeout(() => resolve('an answer'), ms));
const refused = { code: 'temporarily_unavailable' };

/** How it ends and when, in milliseconds from now. */
async function outcome(work: () => Promise<unknown>): Promise<[unknown, number]> {
  const begun = performance.now();
  const ended = work().then(
    (value): [unknown, number] => [value, performance.now() - begun],
    (error): [unknown, number] => [error, performance.now() - begun],
  );
  await vi.advanceTimersByTimeAsync(5000);
  return ended;
}

test('what several waits may take in sum is bounded; what else the request does is not', async () => {
  const [error, at] = await outcome(() =>
    patience.bounded(async () => {
      await patience.wait(after(500));
      await after(1000);
      await patience.wait(after(500));
    }),
  );
  expect(error).toMatchObject(refused);
  expect(at).toBe(1800);
});

test('waits side by side count once', async () => {
  const twice = () => Promise.all([patience.wait(after(350)), patience.wait(after(350))]);
  const [value, at] = await outcome(() => patience.bounded(async () => [await twice(), await twice()]));
  expect([value, at]).toEqual([expect.any(Array), 700]);
});

test('each request has its own, and what is no request has no bound', async () => {
  const impatient = patience.bounded(() => patience.wait(after(5000))).catch((error) => error);
  const [value] = await outcome(() => patience.bounded(() => patience.wait(after(700))));
  expect(value).toBe('an answer');
  expect(await impatient).toMatchObject(refused);
  expect((await outcome(() => patience.wait(after(3000))))[0]).toBe('an answer');
});

test('what a request leaves behind is not bounded by it: an audit event is written later, however long that takes', async () => {
  let later: Promise<unknown> | undefined;
  const [, at] = await outcome(() =>
    patience.bounded(async () => {
      setTimeout(() => {
        later = patience.wait(after(3000));
      }, 500);
      await patience.wait(after(300));
    }),
  );
  expect(at).toBe(300);
  expect(await later).toBe('an answer');
});
