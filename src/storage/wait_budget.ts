/**
 * How long a request may wait for PostgreSQL: one budget for all its statements together. With a limit for each
 * statement, the waits for a slow connection and for slow statements would add up to seconds.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { unavailable } from '../lib/errors.ts';
import { deadline } from './late.ts';

export interface WaitBudget {
  /**
   * Runs `work` with a budget of its own, in milliseconds for all its statements together. It ends when `work` settles: a
   * timer that still runs then has no limit.
   */
  bounded<T>(mostMs: number, work: () => Promise<T>): Promise<T>;
  /**
   * Like `answer`, but rejects with AppError 503 once the budget is used up. Outside of `bounded` there is no limit.
   */
  wait<T>(answer: Promise<T>): Promise<T>;
}

interface Budget {
  leftMs: number;
  /** How many statements are running. The time of parallel statements counts once. */
  waiting: number;
  since: number;
  over: boolean;
}

export function createWaitBudget(): WaitBudget {
  const budgets = new AsyncLocalStorage<Budget>();
  return {
    async bounded(mostMs, work) {
      const budget: Budget = { leftMs: mostMs, waiting: 0, since: 0, over: false };
      try {
        return await budgets.run(budget, work);
      } finally {
        budget.over = true;
      }
    },
    async wait(answer) {
      const budget = budgets.getStore();
      return !budget || budget.over ? answer : waitWithin(budget, answer);
    },
  };
}

async function waitWithin<T>(budget: Budget, answer: Promise<T>): Promise<T> {
  if (budget.waiting === 0) budget.since = performance.now();
  budget.waiting += 1;
  const leftMs = budget.leftMs - (performance.now() - budget.since);
  let cancel = () => {};
  const usedUp = new Promise<never>((_, reject) => {
    const giveUp = () => reject(unavailable(new Error('the request has waited for storage long enough')));
    cancel = deadline(Math.max(0, leftMs), giveUp);
  });
  try {
    return await Promise.race([answer, usedUp]);
  } finally {
    cancel();
    budget.waiting -= 1;
    if (budget.waiting === 0) budget.leftMs -= performance.now() - budget.since;
  }
}
