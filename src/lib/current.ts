/** Something that is replaced while the server runs. Ask at each use: whoever keeps the answer goes on with an old one. */
export interface Current<T> {
  current(): T;
}

export interface Holder<T> extends Current<T> {
  /** From now on. */
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
