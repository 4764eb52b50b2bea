/**
 * Bounds the concurrent work for one account. In the database such work waits for the same locks, and each waiting
 * piece holds a connection that others need. So beyond a few pieces the next one is refused instead of waiting.
 */
import { tooManyAtOnce } from './errors.ts';

/** For whom the work is. */
export interface WorkOf {
  accountId: string;
  /** The browser or the network that requests the work. */
  asker: string;
  /** Whether the account knows the browser. Known browsers have places of their own, which strangers cannot take. */
  isKnown: boolean;
}

/**
 * Runs the work. Throws AppError 429 before anything is done if too much work for this account runs in this process.
 * If other work for the account runs, `mayStart` is called first. It throws if the work would be refused anyway, and
 * must not wait for a lock.
 */
export type FewAtOnce = <T>(of: WorkOf, work: () => Promise<T>, mayStart?: () => Promise<void>) => Promise<T>;

/** For one asker. This is enough for a button that is clicked twice and for two tabs. */
const mostOfOne = 3;
/** For all strangers together, and for all known browsers together. */
const mostOfAll = 4;

/** The counts are those of this process. */
export function createFewAtOnce(): FewAtOnce {
  const underWay = new Map<string, number>();
  const countOf = (key: string) => underWay.get(key) ?? 0;
  function add(keys: string[], change: 1 | -1): void {
    for (const key of keys) {
      const count = countOf(key) + change;
      if (count > 0) underWay.set(key, count);
      else underWay.delete(key);
    }
  }

  return async ({ accountId, asker, isKnown }, work, mayStart) => {
    const all = `${accountId} ${isKnown}`;
    const one = `${all} ${asker}`;
    const refuseWhereFull = () => {
      if (countOf(one) >= mostOfOne || countOf(all) >= mostOfAll) throw tooManyAtOnce();
    };
    refuseWhereFull();
    if (mayStart && countOf(all) > 0) {
      await mayStart();
      refuseWhereFull();
    }
    add([all, one], 1);
    try {
      return await work();
    } finally {
      add([all, one], -1);
    }
  };
}
