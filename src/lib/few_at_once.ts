/**
 * How much of one person is worked on at once. In the database the pieces wait for each other's locks, and each that waits
 * holds a connection which everybody else needs: past a few, the next is refused and not kept waiting.
 */
import { tooManyAtOnce } from './errors.ts';

/** Does the work. Throws AppError 429, before anything is done, where too much of this `key` is under way in this process. */
export type FewAtOnce = <T>(key: string, work: () => Promise<T>) => Promise<T>;

/** Enough for a button that is clicked twice, and for two tabs. */
const most = 3;

export function createFewAtOnce(): FewAtOnce {
  const underWay = new Map<string, number>();
  return async (key, work) => {
    const others = underWay.get(key) ?? 0;
    if (others >= most) throw tooManyAtOnce();
    underWay.set(key, others + 1);
    try {
      return await work();
    } finally {
      const left = (underWay.get(key) ?? 1) - 1;
      if (left > 0) underWay.set(key, left);
      else underWay.delete(key);
    }
  };
}
