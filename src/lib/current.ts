/**
 * A value that may be replaced while the server runs. Call `current` at each use: a kept value may be out of date.
 */
export interface Current<T> {
  current(): T;
}

export interface Holder<T> extends Current<T> {
  /** Replaces the value. */
  replace(next: T): void;
}

export function createHolder<T>(first: T): Holder<T> {
  let value = first;
  return {
    current: () => value,
    replace(next) {
      value = next;
    },
  };
}
