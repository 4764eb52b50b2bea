/** Long pieces of work, one per turn of the event loop: what else came in meanwhile is served between them. */

/** Returns a function whose promise resolves when it is the caller's turn; the work follows without a further wait. */
export function createTurns(): () => Promise<void> {
  const waiting: (() => void)[] = [];
  function next(): void {
    waiting.shift()?.();
    if (waiting.length > 0) setImmediate(next);
  }
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      if (waiting.length === 1) setImmediate(next);
    });
}
