/**
 * Short-lived protocol state: interactions, pushed requests, the expected KE3. It is kept in an unlogged table, which
 * costs no wait for the disk, and copied to the cache for reading; a login in progress goes on when Redis is lost. With
 * the in-process cache there is one process, and the cache alone keeps it.
 */
import type { Cache } from './cache.ts';
import type { Database } from './database.ts';

export interface Ephemeral {
  get(key: string): Promise<string | undefined>;
  /** Throws AppError 503 where it cannot be kept. */
  set(key: string, value: string, ttlSeconds: number): Promise<void>;
  /** Keeps what will be taken once and not be read before: without a copy. */
  put(key: string, value: string, ttlSeconds: number): Promise<void>;
  /**
   * Gets and deletes in one atomic step: of any number of parallel callers one receives the value. What was taken never
   * comes back: after a crash, and on a replica, an unlogged table is empty.
   */
  take(key: string): Promise<string | undefined>;
  delete(key: string): Promise<void>;
}

export function createEphemeral(cache: Cache, database: Database, now: () => number): Ephemeral {
  if (!cache.redis) {
    const set = async (key: string, value: string, ttl: number) => void (await cache.set(key, value, ttl));
    return { ...cache, set, put: set };
  }
  const { query } = database;
  /** Keys whose copy may be older than the row, because Redis was away when they changed. */
  const stale = new Set<string>();
  // In an outage with more logins than that, somebody may be shown a page they have already answered.
  const copyIsStale = (key: string) => void (stale.size < 10_000 && stale.add(key));

  async function dropStaleCopies(): Promise<void> {
    if (stale.size === 0 || cache.state() === 'degraded') return;
    const keys = [...stale];
    stale.clear();
    await Promise.all(keys.map(dropCopy));
  }

  async function dropCopy(key: string): Promise<void> {
    await cache.delete(key);
    if (cache.state() === 'degraded') copyIsStale(key);
  }

  async function put(key: string, value: string, ttlSeconds: number): Promise<void> {
    await query(
      `insert into ephemeral (key, value, expires_at) values ($1, $2, $3)
       on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at`,
      [key, value, new Date(now() + ttlSeconds * 1000)],
    );
  }

  return {
    put,
    async get(key) {
      await dropStaleCopies();
      const copy = await cache.get(key);
      if (copy !== undefined) return copy;
      const [row] = await query<{ value: string }>(
        'select value from ephemeral where key = $1 and expires_at > $2',
        [key, new Date(now())],
      );
      return row?.value;
    },
    async set(key, value, ttlSeconds) {
      await put(key, value, ttlSeconds);
      if (!(await cache.set(key, value, ttlSeconds))) copyIsStale(key);
    },
    async take(key) {
      const [row] = await query<{ value: string }>(
        'delete from ephemeral where key = $1 and expires_at > $2 returning value',
        [key, new Date(now())],
      );
      if (row) await dropCopy(key);
      return row?.value;
    },
    async delete(key) {
      await query('delete from ephemeral where key = $1', [key]);
      await dropCopy(key);
    },
  };
}
