/**
 * Wrong passwords and codes, counted in PostgreSQL so that the count outlives Redis and restarts. An attempt is charged to
 * all of its buckets before it is looked at, in one atomic statement: of a thousand parallel guesses only as many as the
 * limits allow are ever evaluated. Which buckets an attempt has is no matter of this file.
 */
import { TooManyFailures } from '../lib/errors.ts';
import type { Database, Query } from '../storage/database.ts';

/** Where failures are counted, and what comes of them. */
export interface Bucket {
  /** 32 bytes. */
  id: Buffer;
  /** How many failures delay nothing. */
  free: number;
  /** How long the next attempt waits then. Each further failure doubles the delay, up to the longest one. */
  firstDelaySeconds: number;
  longestDelaySeconds: number;
  /** When the failures are forgotten, in milliseconds since the epoch. No delay lasts longer. */
  forgottenAt: number;
}

export interface Failures {
  /**
   * Counts an attempt as failed until it is known better. Throws TooManyFailures while one of the buckets is blocked; then no
   * bucket is charged. In a transaction the other attempts at the buckets wait for its end. By itself it waits for no disk: all
   * see it at once, and a crash of PostgreSQL forgets what it counted in its last half second.
   */
  charge(buckets: Bucket[], query?: Query): Promise<void>;
  /** Takes one charge back from each: the attempt was right, though the login is not complete. */
  refund(ids: Buffer[]): Promise<void>;
  /** Forgets the failures of some buckets and takes a charge back from others: the login is complete. */
  settle(buckets: { forget: Bucket[]; refund: Bucket[] }, query: Query): Promise<void>;
}

/** Of a bucket that is not blocked. No present time: instances' clocks differ, and so do those of parallel requests. */
const notBlocked = 'to_timestamp(0)';

/** For a statement that is a transaction of its own. */
const waitingForNoDisk = "set_config('synchronous_commit', 'off', true) is not null";

const refundOne = `update login_failures set failures = greatest(failures - 1, 0), blocked_until = ${notBlocked}`;

/**
 * A bucket that was blocked already is seen before any is charged. One that parallel attempts block just now refuses by its own
 * `where`: the statement then returns fewer buckets than it was given.
 */
const chargeAll = `with asked as (
    select * from unnest($1::bytea[], $2::int[], $3::int[], $4::int[], $5::timestamptz[])
      as a(bucket, free, first, longest, forgotten_at)),
  open as (select where not exists (
    select from login_failures where bucket = any($1) and blocked_until > $6 and expires_at > $6))
  insert into login_failures as f (bucket, failures, blocked_until, expires_at)
  select bucket, 1,
    case when free <= 1 then least(forgotten_at, $6::timestamptz + first * interval '1 s') else ${notBlocked} end, forgotten_at
  from asked, open where case when $7::boolean then true else ${waitingForNoDisk} end order by bucket
  on conflict (bucket) do update set (failures, blocked_until, expires_at) = (
    select n, case when n < free then ${notBlocked} else
      least(forgotten_at, $6 + least(longest, first * power(2, least(n - free, 20))) * interval '1 s') end, forgotten_at
    from asked a, lateral (select case when f.expires_at <= $6 then 1 else f.failures + 1 end as n) as count
    where a.bucket = f.bucket)
  where f.blocked_until <= $6 or f.expires_at <= $6
  returning bucket`;

export function createFailures({ query }: Database, now: () => number): Failures {
  const refund = (ids: Buffer[]) =>
    query(`${refundOne} where bucket = any($1) and ${waitingForNoDisk}`, [ids]);

  return {
    async charge(buckets, on = query) {
      const ids = buckets.map(({ id }) => id);
      const at = new Date(now());
      const charged = await on<{ bucket: Buffer }>(chargeAll, [
        ids,
        buckets.map(({ free }) => free),
        buckets.map(({ firstDelaySeconds }) => firstDelaySeconds),
        buckets.map(({ longestDelaySeconds }) => longestDelaySeconds),
        buckets.map(({ forgottenAt }) => new Date(forgottenAt)),
        at,
        on !== query,
      ]);
      if (charged.length === buckets.length) return;
      // The caller's transaction undoes them by itself.
      if (charged.length > 0 && on === query) await refund(charged.map(({ bucket }) => bucket));
      const [blocked] = await on<{ bucket: Buffer; blocked_until: Date }>(
        'select bucket, blocked_until from login_failures where bucket = any($1) order by blocked_until desc limit 1',
        [ids],
      );
      const waitMs = (blocked?.blocked_until.getTime() ?? 0) - now();
      throw new TooManyFailures(
        Math.max(1, Math.ceil(waitMs / 1000)),
        blocked?.bucket.toString('base64url') ?? '',
      );
    },
    async refund(ids) {
      await refund(ids);
    },
    async settle(buckets, on) {
      const [forget, taken] = [buckets.forget, buckets.refund].map((each) => each.map(({ id }) => id));
      await on(
        `with forgotten as (delete from login_failures where bucket = any($1)) ${refundOne} where bucket = any($2)`,
        [forget, taken],
      );
    },
  };
}
