/** The little statistics that the bench needs. Pure. */

/** The q-quantile (0 to 1) by the nearest rank; NaN of nothing. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** The middle value, of an even number the mean of the two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length % 2 === 1) return sorted[Math.floor(middle)] ?? Number.NaN;
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
export const mean = (values: readonly number[]): number => sum(values) / values.length;

function variance(values: readonly number[]): number {
  const middle = mean(values);
  return sum(values.map((value) => (value - middle) ** 2)) / (values.length - 1);
}

/** Welch's t of two samples of unequal variance. */
export function welch(a: readonly number[], b: readonly number[]): number {
  return (mean(a) - mean(b)) / Math.sqrt(variance(a) / a.length + variance(b) / b.length);
}

/**
 * The largest |t| over the samples as they are and with their slow tails cut off at one threshold for both, the way
 * dudect does it: a machine's pauses hide small differences in the mean. O. Reparaz, J. Balasch, I. Verbauwhede, "Dude,
 * is my code constant time?", 2017.
 */
export function largestWelch(a: readonly number[], b: readonly number[]): number {
  const all = [...a, ...b];
  const cuts = [1, 0.99, 0.95, 0.9, 0.75].map((q) => (q === 1 ? Number.POSITIVE_INFINITY : quantile(all, q)));
  const ts = cuts.map((cut) =>
    welch(
      a.filter((value) => value <= cut),
      b.filter((value) => value <= cut),
    ),
  );
  return Math.max(...ts.map(Math.abs));
}
