/**
 * Short-lived protocol state: interactions, pushed requests, the expected KE3. It lives in the cache; while Redis is
 * away it lives in an unlogged table instead, so that a login begun on one instance still ends on another.
 */
import type { Cache } from './cache.ts';
import type { Database } from './database.ts';

export interface Ephemeral {
  get(key: string): Promise<string | undefined>;
  /** Throws AppError 503 where neither the cache nor the database could keep it. */
  set(key: string, value: string, ttlSeconds: number): Promise<void>;
  /** Gets and deletes in one atomic step. Whatever is issued on the strength of it is also marked in `spent`. */
  take(key: string): Promise<string | undefined>;
  delete(key: string): Promise<void>;
}

/** State over `cache`, with the table `ephemeral` behind it where the cache is a Redis that may go away. */
export function createEphemeral(cache: Cache, database: Database, now: () => number): Ephemeral {
  if (!cache.redis) {
    return { ...cache, set: async (key, value, ttl) => void (await cache.set(key, value, ttl)) };
  }
  const { query } = database;
  return {
    async get(key) {
      const cached = await cache.get(key);
      if (cached !== undefined) return cached;
      const [row] = await query<{ value: string }>(
        'select value from ephemeral where key = $1 and expires_at > $2',
        [key, new Date(now())],
      );
      return row?.value;
    },
    async set(key, value, ttlSeconds) {
      if (await cache.set(key, value, ttlSeconds)) return;
      await query(
        `insert into ephemeral (key, value, expires_at) values ($1, $2, $3)
         on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at`,
        [key, value, new Date(now() + ttlSeconds * 1000)],
      );
    },
    async take(key) {
      const cached = await cache.take(key);
      if (cached !== undefined) return cached;
      const [row] = await query<{ value: string }>(
        'delete from ephemeral where key = $1 and expires_at > $2 returning value',
        [key, new Date(now())],
      );
      return row?.value;
    },
    async delete(key) {
      await cache.delete(key);
      await query('delete from ephemeral where key = $1', [key]);
    },
  };
}
