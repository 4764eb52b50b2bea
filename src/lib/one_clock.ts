/**
 * One clock for the process. Libraries take none: oidc-provider reads `Date.now()`, jose makes a `new Date()`. Both have to
 * agree with the clock that ours is, and with the other instances.
 */

/** From now on `Date.now()` and `new Date()` are `now`, in milliseconds since the epoch. */
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
