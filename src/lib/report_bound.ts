/** Bounds how often something is reported, if strangers can cause it as often as they like. */

/**
 * Call the returned function at each occurrence. It returns undefined if this one must not be reported. Otherwise it
 * returns how many occurrences were left out since the last report. `now`: milliseconds since the epoch.
 */
export function createReportBound(mostPerMinute: number, now: () => number): () => number | undefined {
  let minute = Number.NaN;
  let [reported, unreported] = [0, 0];
  return () => {
    const present = Math.floor(now() / 60_000);
    if (present !== minute) [minute, reported] = [present, 0];
    if (reported >= mostPerMinute) {
      unreported += 1;
      return undefined;
    }
    reported += 1;
    const since = unreported;
    unreported = 0;
    return since;
  };
}
