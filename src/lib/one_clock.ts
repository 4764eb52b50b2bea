/**
 * One clock for the whole process. Libraries accept no clock: oidc-provider reads `Date.now()`, and jose makes a `new
 * Date()`. Both must agree with the database's clock, which all instances follow.
 */

/** Makes `Date.now()` and `new Date()` return `now()`, which is in milliseconds since the epoch. */
export function setClock(now: () => number): void {
  const Exact = Date;
  Exact.now = now;
  globalThis.Date = new Proxy(Exact, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as Date,
    apply: () => new Exact(now()).toString(),
  });
  Exact.prototype.constructor = globalThis.Date;
}
