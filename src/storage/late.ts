/**
 * Deadlines on a busy machine. If this process did not run for a while, its timers are due before it has read the answers
 * that have long arrived. So a deadline lets the event loop read what is there before it counts as missed.
 */

/** Runs `work` once what has arrived by now was read. */
export const afterLate = (work: () => void): void => void setImmediate(() => setImmediate(work));

/** Like setTimeout, but `late` runs only once what has arrived by then was read. Returns what cancels it. */
export function deadline(ms: number, late: () => void): () => void {
  let over = false;
  const timer = setTimeout(() => afterLate(() => !over && late()), ms);
  return () => {
    over = true;
    clearTimeout(timer);
  };
}
