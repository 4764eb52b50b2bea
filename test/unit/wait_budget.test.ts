/** The time that all statements of a request may wait in all: parallel waits count once, and each request has its own. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createWaitBudget } from '../../src/storage/wait_budget.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const budget = createWaitBudget();
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
    budget.bounded(800, async () => {
      await budget.wait(after(500));
      await after(1000);
      await budget.wait(after(500));
    }),
  );
  expect(error).toMatchObject(refused);
  expect(at).toBeCloseTo(1800, -1);
});

test('waits side by side count once', async () => {
  const twice = () => Promise.all([budget.wait(after(350)), budget.wait(after(350))]);
  const [value, at] = await outcome(() => budget.bounded(800, async () => [await twice(), await twice()]));
  expect([value, at]).toEqual([expect.any(Array), 700]);
});

test('each request has its own, and what is no request has no bound', async () => {
  const impatient = budget.bounded(800, () => budget.wait(after(5000))).catch((error) => error);
  const [value] = await outcome(() => budget.bounded(800, () => budget.wait(after(700))));
  expect(value).toBe('an answer');
  expect(await impatient).toMatchObject(refused);
  expect((await outcome(() => budget.wait(after(3000))))[0]).toBe('an answer');
});

test('what a request leaves behind is not bounded by it: an audit event is written later, however long that takes', async () => {
  let later: Promise<unknown> | undefined;
  const [, at] = await outcome(() =>
    budget.bounded(800, async () => {
      setTimeout(() => {
        later = budget.wait(after(3000));
      }, 500);
      await budget.wait(after(300));
    }),
  );
  expect(at).toBe(300);
  expect(await later).toBe('an answer');
});
