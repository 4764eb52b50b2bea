/**
 * Short-lived protocol state: interactions, pushed requests, the expected KE3. It is kept in an unlogged table, which
 * does not wait for the disk, and which all instances share. It is not kept in Redis: a sign-in in progress goes on
 * if Redis is lost, and there is no copy that could be out of date.
 */
import type { Database } from './database.ts';

export interface Ephemeral {
  get(key: string): Promise<string | undefined>;
  /**
   * Throws AppError 503 if PostgreSQL cannot keep the value. `owner` is needed for what anybody can create: the value
   * counts for the owner's share of the room.
   */
  put(key: string, value: string, ttlSeconds: number, owner?: string): Promise<void>;
  /**
   * Gets and deletes in one atomic step. If something is issued for the value, it is also marked as used in `spent`.
   */
  take(key: string): Promise<string | undefined>;
}

/**
 * How much state of requests that anybody can begin is kept, for all instances together. Beyond it the sweeper
 * deletes the oldest rows of the owners that hold the most. An owner with no more than an equal share loses nothing.
 */
export interface Room {
  rows: number;
  /**
   * Bytes of the values, as PostgreSQL stores them. A bound on rows is not enough: strangers choose a request's size.
   */
  bytes: number;
}
export const roomForBegun: Room = { rows: 100_000, bytes: 400_000_000 };

/** The rows that anybody can create: they have an owner. */
export const isBegun = `owner <> ''`;

/** The short-lived state in the database. `now` returns milliseconds since the epoch. */
export function createEphemeral({ query }: Pick<Database, 'query'>, now: () => number): Ephemeral {
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
