/**
 * How long a request may wait for PostgreSQL: one budget for all its statements together. With a limit for each
 * statement, the waits for a slow connection and for slow statements would add up to seconds.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { unavailable } from '../lib/errors.ts';

export interface WaitBudget {
  /** Runs `work` with a budget of its own. It ends when `work` settles: a timer that still runs then has no limit. */
  bounded<T>(work: () => Promise<T>): Promise<T>;
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

/** `mostMs`: how long one request may wait for all its statements together. */
export function createWaitBudget(mostMs: number): WaitBudget {
  const budgets = new AsyncLocalStorage<Budget>();
  return {
    async bounded(work) {
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
  let timer: NodeJS.Timeout | undefined;
  const usedUp = new Promise<never>((_, reject) => {
    const giveUp = () => reject(unavailable(new Error('the request has waited for storage long enough')));
    timer = setTimeout(giveUp, Math.max(0, leftMs));
  });
  try {
    return await Promise.race([answer, usedUp]);
  } finally {
    clearTimeout(timer);
    budget.waiting -= 1;
    if (budget.waiting === 0) budget.leftMs -= performance.now() - budget.since;
  }
}
