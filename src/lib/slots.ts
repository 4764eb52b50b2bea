/** A bound on work that runs concurrently. More work waits, up to a second bound. */

/**
 * Runs `work` once a slot is free. Rejects if too much work waits already, or if `signal` aborts before it begins.
 */
export type Slots = <T>(signal: AbortSignal, work: () => Promise<T>) => Promise<T>;

/** Up to `most` run concurrently, and up to `mostWaiting` more wait. */
export function createSlots(most: number, mostWaiting: number): Slots {
  let free = most;
  const waiting = new Set<() => void>();

  function turn(signal: AbortSignal): Promise<void> {
    if (waiting.size >= mostWaiting) throw new Error('too much of this is under way');
    return new Promise((resolve, reject) => {
      const begin = () => {
        waiting.delete(begin);
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      const giveUp = () => {
        waiting.delete(begin);
        reject(signal.reason);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      waiting.add(begin);
    });
  }

  return async (signal, work) => {
    signal.throwIfAborted();
    if (free > 0) free -= 1;
    else await turn(signal);
    try {
      return await work();
    } finally {
      const [next] = waiting;
      // The slot passes directly to the next in line. A new caller must not find it free in between.
      if (next) next();
      else free += 1;
    }
  };
}
