/** Bounds how often the same thing is reported, if strangers can cause it as often as they like. */

/** The most things that are remembered. Beyond it all are forgotten, and are reported again. */
const mostRemembered = 10_000;

/**
 * The returned function is true if `what` was not reported within the last `seconds`. The caller must report it then.
 * `now`: milliseconds since the epoch.
 */
export function createOncePer(seconds: number, now: () => number): (what: string) => boolean {
  const reportedUntil = new Map<string, number>();
  return (what) => {
    const at = now();
    if ((reportedUntil.get(what) ?? 0) > at) return false;
    if (reportedUntil.size >= mostRemembered) reportedUntil.clear();
    reportedUntil.set(what, at + seconds * 1000);
    return true;
  };
}
