/**
 * Values that are kept for one request. They are properties of the request (or its context), and are released with
 * it. Values in a WeakMap would outlive the request: V8's young collections treat them as strongly held, so each is
 * copied, and some reach the old generation.
 */

/** A value for each request. `name` is the property's name in a debugger. */
export function requestMemory<T>(name: string) {
  const key = Symbol(name);
  const of = (request: object) => request as { [key]?: T | undefined };
  return {
    get: (request: object): T | undefined => of(request)[key],
    set(request: object, value: T): void {
      of(request)[key] = value;
    },
    /** Returns the value and removes it, so that only one caller gets it. */
    take(request: object): T | undefined {
      const value = of(request)[key];
      if (value !== undefined) of(request)[key] = undefined;
      return value;
    },
  };
}
