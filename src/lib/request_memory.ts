/**
 * What is remembered for the length of one request: it hangs on the request (or its context) and goes with it. The values
 * of a WeakMap outlive it, for V8's young collections take them for strongly held: each is copied, some grow old.
 */

/** One thing to remember of each request. `name` is for whoever looks at a request in a debugger. */
export function requestMemory<T>(name: string) {
  const key = Symbol(name);
  const of = (request: object) => request as { [key]?: T | undefined };
  return {
    get: (request: object): T | undefined => of(request)[key],
    set(request: object, value: T): void {
      of(request)[key] = value;
    },
    /** What is remembered, to this caller alone. */
    take(request: object): T | undefined {
      const value = of(request)[key];
      if (value !== undefined) of(request)[key] = undefined;
      return value;
    },
  };
}
