/**
 * How much of one person is worked on at once. In the database the pieces wait for each other's locks, and each that waits
 * holds a connection which everybody else needs: past a few, the next is refused and not kept waiting.
 */
import { tooManyAtOnce } from './errors.ts';

/** Whose work it is. */
export interface WorkOf {
  accountId: string;
  /** The browser or the network that asks for it. */
  asker: string;
  /** Browsers that the account knows have places of their own: strangers cannot take them. */
  isKnown: boolean;
}

/**
 * Does the work. Throws AppError 429, before anything is done, where too much of this account is under way in this process.
 * `mayStart` is asked first where other work of the account is under way: it throws where the work would be refused anyway, and
 * waits for no lock.
 */
export type FewAtOnce = <T>(of: WorkOf, work: () => Promise<T>, mayStart?: () => Promise<void>) => Promise<T>;

/** Of one asker: enough for a button that is clicked twice, and for two tabs. */
const mostOfOne = 3;
/** Of all strangers together, and of all known browsers together. */
const mostOfAll = 4;

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
