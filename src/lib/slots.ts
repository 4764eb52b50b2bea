/** A bound on work under way. What comes beyond it waits for its turn, and not in any number. */

/** Runs `work` once there is room. Rejects where too much waits already, or `signal` aborts while it waits. */
export type Slots = <T>(signal: AbortSignal, work: () => Promise<T>) => Promise<T>;

/** `most` at once; `mostWaiting` more wait. */
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
      // Its place is handed on as it is: whoever comes at this moment finds none free.
      if (next) next();
      else free += 1;
    }
  };
}
