/** Long pieces of work, one after the other, with the event loop let go in between: what else came in meanwhile is served. */

/**
 * Node accepts one new connection in each pass of the loop. With a piece of work in every pass a rush of people would wait
 * in line before anything of theirs is read, even for being refused. Passes are not free either: eight of them took a fifth of
 * a server that is busy with logins.
 */
const passesBetween = 2;

/** Returns a function whose promise resolves when it is the caller's turn; the work follows without a further wait. */
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
