/**
 * Wrong passwords and codes, counted per account across all addresses, in PostgreSQL so that the count outlives Redis
 * and restarts. An attempt is charged before it is looked at, in one atomic statement: of a thousand parallel guesses
 * only as many as the limit allows are ever evaluated.
 */
import { tooManyRequests } from '../lib/errors.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Database, Query } from '../storage/database.ts';

export interface Failures {
  /**
   * Counts an attempt as failed until it is known better. Throws AppError 429 while the bucket is blocked. In a transaction
   * the other attempts at the bucket wait for its end. By itself it waits for no disk: all see it at once, and a crash of
   * PostgreSQL forgets what it counted in its last half second, which is at most `limit` attempts at an account.
   */
  charge(bucket: Uint8Array, query?: Query): Promise<void>;
  /** Takes one charge back: the attempt was right, though the login is not complete. */
  refund(bucket: Uint8Array): Promise<void>;
  /** Forgets all failures: the login is complete. */
  clear(bucket: Uint8Array, query?: Query): Promise<void>;
}

/** Of a bucket that is not blocked. No present time: instances' clocks differ, and so do those of parallel requests. */
const notBlocked = 'to_timestamp(0)';

/** By the whole minute: the next attempt of a login then changes no index. */
const expiry = "date_trunc('minute', $2::timestamptz + ($6 + 60) * interval '1 s')";

/** For a statement that is a transaction of its own. */
const waitingForNoDisk = "set_config('synchronous_commit', 'off', true) is not null";

/** `limit` attempts are free; each one after it waits twice as long as the one before, from 30 s to 15 minutes. */
export function createFailures({ query }: Database, limit: number, now: () => number): Failures {
  return {
    async charge(bucket, on = query) {
      const charged = await on<{ failures: number }>(
        `insert into login_failures as f (bucket, failures, blocked_until, expires_at)
         select $1, 1, case when $3::int <= 1 then $2::timestamptz + $4 * interval '1 s' else ${notBlocked} end,
           ${expiry} where case when $7::boolean then true else ${waitingForNoDisk} end
         on conflict (bucket) do update set
           failures = case when f.expires_at <= $2 then 1 else f.failures + 1 end,
           blocked_until = case when f.expires_at <= $2 or f.failures + 1 < $3 then ${notBlocked}
             else $2::timestamptz + least($5, $4 * power(2, least(f.failures + 1 - $3, 20))) * interval '1 s' end,
           expires_at = ${expiry}
         where f.blocked_until <= $2
         returning failures`,
        [
          ...[
            bucket,
            new Date(now()),
            limit,
            lifeSeconds.firstDelay,
            lifeSeconds.longestDelay,
            lifeSeconds.failuresKept,
          ],
          on !== query,
        ],
      );
      if (charged.length > 0) return;
      const [blocked] = await on<{ blocked_until: Date }>(
        'select blocked_until from login_failures where bucket = $1',
        [bucket],
      );
      const waitMs = (blocked?.blocked_until.getTime() ?? 0) - now();
      throw tooManyRequests(Math.max(1, Math.ceil(waitMs / 1000)));
    },
    async refund(bucket) {
      await query(
        `update login_failures set failures = greatest(failures - 1, 0), blocked_until = ${notBlocked}
         where bucket = $1 and ${waitingForNoDisk}`,
        [bucket],
      );
    },
    async clear(bucket, on = query) {
      await on('delete from login_failures where bucket = $1', [bucket]);
    },
  };
}
