/** Runs long, blocking pieces of work one after the other. Between them the event loop serves other requests. */

/**
 * The passes of the event loop between two pieces. Node accepts one new connection in each pass. If every pass had a
 * piece of work, new connections would wait long before they are read, even if they are only refused. But passes cost
 * time: eight of them took a fifth of a server that is busy with sign-ins.
 */
const passesBetween = 2;

/**
 * The promise of the returned function resolves when the caller may begin. Begin at once, without another `await`.
 */
export function createTurns(): () => Promise<void> {
  const waiting: (() => void)[] = [];
  function pass(left: number): void {
    if (left > 1) setImmediate(pass, left - 1);
    else next();
  }
  function next(): void {
    waiting.shift()?.();
    if (waiting.length > 0) setImmediate(pass, passesBetween);
  }
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      if (waiting.length === 1) setImmediate(next);
    });
}
