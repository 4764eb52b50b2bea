/**
 * Measures time for tests that check how long something takes. A busy machine delays timers as much as the code under
 * test, so this file counts the ticks of a timer. A wait counts in full. Time in which this process had no processor
 * does not count.
 */
const tickMs = 20;
let ticks = 0;
setInterval(() => {
  ticks += 1;
}, tickMs).unref();

/** Milliseconds since some moment, to within 20. */
export const machineMs = (): number => ticks * tickMs;
