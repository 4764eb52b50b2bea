/** Bounds how often the same thing is reported, where a stranger can make it happen as often as they like. */

/** More different things than these are not remembered: then all of them are news again. */
const mostRemembered = 10_000;

/** The returned function says whether `what` was not reported within the last `seconds`; asking counts as reporting it. */
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
