/**
 * Time for tests of what may take how long. A busy machine delays a timer as it delays what is tested, so time is counted by
 * a timer: a wait counts in full, and a moment in which this process had no processor does not.
 */
const tickMs = 20;
let ticks = 0;
setInterval(() => {
  ticks += 1;
}, tickMs).unref();

/** Milliseconds since some moment, to within 20. */
export const machineMs = (): number => ticks * tickMs;
