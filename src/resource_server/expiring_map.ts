/** What is remembered for a while, and never more than so many of it. Entries leave in the order in which they came. */

export interface ExpiringMap<T> {
  get(key: string): T | undefined;
  /** Keeps `value` until then; false where it is full of what is still good. `makeRoom` drops the oldest instead. */
  set(key: string, value: T, untilMs: number, options?: { makeRoom: boolean }): boolean;
  delete(key: string): void;
}

export function createExpiringMap<T>(most: number, now: () => number): ExpiringMap<T> {
  const entries = new Map<string, { value: T; untilMs: number }>();

  /** A few of the oldest at a time: each call may add one entry and removes up to two, so the map never grows stale. */
  function sweep(): void {
    let looks = 2;
    for (const [key, { untilMs }] of entries) {
      if (looks-- === 0 || untilMs > now()) return;
      entries.delete(key);
    }
  }

  return {
    get(key) {
      const entry = entries.get(key);
      return entry && entry.untilMs > now() ? entry.value : undefined;
    },
    set(key, value, untilMs, { makeRoom } = { makeRoom: false }) {
      sweep();
      entries.delete(key);
      if (entries.size >= most) {
        if (!makeRoom) return false;
        for (const oldest of entries.keys()) {
          entries.delete(oldest);
          break;
        }
      }
      entries.set(key, { value, untilMs });
      return true;
    },
    delete: (key) => void entries.delete(key),
  };
}
