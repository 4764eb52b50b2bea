/**
 * Short-lived protocol state: interactions, pushed requests, the expected KE3. It is kept in an unlogged table, which
 * costs no wait for the disk, and nowhere else: a login in progress goes on when Redis is lost, and no copy can be older
 * than what it is a copy of. With the in-process cache there is one process, and the cache alone keeps it.
 */
import type { Cache } from './cache.ts';
import type { Database } from './database.ts';

export interface Ephemeral {
  get(key: string): Promise<string | undefined>;
  /** Throws AppError 503 where it cannot be kept. `owner`: on whose behalf it is begun, where anybody may begin it. */
  put(key: string, value: string, ttlSeconds: number, owner?: string): Promise<void>;
  /** Gets and deletes in one atomic step. Whatever is issued on the strength of it is also marked in `spent`. */
  take(key: string): Promise<string | undefined>;
}

/**
 * What anybody may begin and never go on with, for all instances together. Past it the sweeper takes the oldest of whoever
 * holds the most, as the in-process cache does: who holds no more than an equal share loses nothing.
 */
export interface Room {
  rows: number;
  /** Of their values, as PostgreSQL stores them. Their number alone bounds little: strangers choose how large a request is. */
  bytes: number;
}
export const roomForBegun: Room = { rows: 100_000, bytes: 400_000_000 };

/** Of the rows, those that strangers may begin: they have an owner. */
export const isBegun = `owner <> ''`;

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
    async put(key, value, ttlSeconds, owner = '') {
      await query(
        `insert into ephemeral (key, value, expires_at, owner) values ($1, $2, $3, $4)
         on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at`,
        [key, value, new Date(now() + ttlSeconds * 1000), owner],
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
