/** A map whose entries expire, with a bounded size. Entries leave in the order in which they were added. */

export interface ExpiringMap<T> {
  get(key: string): T | undefined;
  /**
   * Keeps `value` until `untilMs`. False if the map is full of entries that have not expired. `makeRoom`: drop the
   * oldest instead.
   */
  set(key: string, value: T, untilMs: number, options?: { makeRoom: boolean }): boolean;
  delete(key: string): void;
}

export function createExpiringMap<T>(most: number, now: () => number): ExpiringMap<T> {
  const entries = new Map<string, { value: T; untilMs: number }>();

  /**
   * Removes up to two expired entries, the oldest first. A call adds at most one entry, so expired ones do not pile
   * up.
   */
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
