/**
 * The cache in the memory of this process, for installations with one process. It is bounded. When it is full, the
 * oldest entry of the owner that holds the most is removed. An owner with no more than an equal share loses nothing.
 */
import type { Cache } from './cache.ts';

/** The bound on all entries together. A bound on their number is not enough: strangers choose a request's size. */
const mostCharacters = 64 * 1024 * 1024;

interface Entry {
  value: string;
  expiresAt: number;
  owner: string;
}

/** What one owner holds. The keys are in the order of their age, the oldest first. */
interface Share {
  characters: number;
  keys: Set<string>;
}

/** `now`: milliseconds since the epoch. `most`: the bound on all keys and values together, in characters. */
export function createMemoryCache(now: () => number, most = mostCharacters): Cache {
  const entries = new Map<string, Entry>();
  const shares = new Map<string, Share>();
  let characters = 0;

  function remove(key: string): void {
    const entry = entries.get(key);
    if (!entry) return;
    entries.delete(key);
    count(entry.owner, -(key.length + entry.value.length)).keys.delete(key);
    if (shares.get(entry.owner)?.keys.size === 0) shares.delete(entry.owner);
  }

  function count(owner: string, by: number): Share {
    const share = shares.get(owner) ?? { characters: 0, keys: new Set() };
    shares.set(owner, share);
    share.characters += by;
    characters += by;
    return share;
  }

  function makeRoom(): void {
    while (characters > most) {
      const [[oldest, { expiresAt }] = ['', { expiresAt: 0 }]] = entries;
      remove(expiresAt <= now() ? oldest : oldestOfLargest());
    }
  }

  function oldestOfLargest(): string {
    let largest: Share = { characters: 0, keys: new Set() };
    for (const share of shares.values()) if (share.characters > largest.characters) largest = share;
    const [oldest = ''] = largest.keys;
    return oldest;
  }

  function live(key: string): string | undefined {
    const entry = entries.get(key);
    if (!entry) return undefined;
    if (entry.expiresAt > now()) return entry.value;
    remove(key);
    return undefined;
  }

  function clear(): void {
    entries.clear();
    shares.clear();
    characters = 0;
  }

  return {
    redis: undefined,
    attempt: (command) => command(),
    state: () => 'ok',
    get: async (key) => live(key),
    async set(key, value, ttlSeconds, owner = entries.get(key)?.owner ?? '') {
      remove(key);
      entries.set(key, { value, expiresAt: now() + ttlSeconds * 1000, owner });
      count(owner, key.length + value.length).keys.add(key);
      makeRoom();
      return true;
    },
    async take(key) {
      const value = live(key);
      remove(key);
      return value;
    },
    clear,
    close: async () => clear(),
  };
}
