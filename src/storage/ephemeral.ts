/**
 * Short-lived protocol state: interactions, pushed requests, the expected KE3. It is kept in an unlogged table, which
 * costs no wait for the disk, and nowhere else: a login in progress goes on when Redis is lost, and no copy can be older
 * than what it is a copy of. With the in-process cache there is one process, and the cache alone keeps it.
 */
import type { Cache } from './cache.ts';
import type { Database } from './database.ts';

export interface Ephemeral {
  get(key: string): Promise<string | undefined>;
  /** Throws AppError 503 where it cannot be kept. `owner`: on whose behalf; see the in-process cache. */
  put(key: string, value: string, ttlSeconds: number, owner?: string): Promise<void>;
  /** Gets and deletes in one atomic step. Whatever is issued on the strength of it is also marked in `spent`. */
  take(key: string): Promise<string | undefined>;
}

/**
 * Anybody may begin to sign in and never go on. Of what was begun the latest is kept, so many that nobody who is at it
 * is among the others: the sweeper takes those.
 */
export const mostInteractions = 100_000;
export const interactionKeys = 'Interaction:';

export function createEphemeral(cache: Cache, { query }: Database, now: () => number): Ephemeral {
  if (!cache.redis) {
    return {
      get: cache.get,
      put: async (...entry) => void (await cache.set(...entry)),
      take: cache.take,
    };
  }
  return {
    async get(key) {
      const [row] = await query<{ value: string }>(
        'select value from ephemeral where key = $1 and expires_at > $2',
        [key, new Date(now())],
      );
      return row?.value;
    },
    async put(key, value, ttlSeconds) {
      await query(
        `insert into ephemeral (key, value, expires_at) values ($1, $2, $3)
         on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at`,
        [key, value, new Date(now() + ttlSeconds * 1000)],
      );
    },
    async take(key) {
      const [row] = await query<{ value: string }>(
        'delete from ephemeral where key = $1 and expires_at > $2 returning value',
        [key, new Date(now())],
      );
      return row?.value;
    },
  };
}
