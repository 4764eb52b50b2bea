/**
 * Counts wrong passwords and codes in PostgreSQL, so that the counts survive restarts and the loss of Redis. An
 * attempt is charged to all of its buckets before it is checked, or holds them until it is charged. So of a thousand
 * parallel guesses only as many as the limits allow are ever checked. This file does not choose the buckets of an
 * attempt.
 */
import { TooManyFailures } from '../lib/errors.ts';
import type { Database, Query } from '../storage/database.ts';

/** A count of failures, and the delay that follows from it. */
export interface Bucket {
  /** 32 bytes. */
  id: Buffer;
  /** After this many failures the next attempt has to wait. */
  free: number;
  /** The first delay. Each further failure doubles it, up to the longest delay. */
  firstDelaySeconds: number;
  longestDelaySeconds: number;
  /** When the failures expire, in milliseconds since the epoch. No delay lasts longer than that. */
  forgottenAt: number;
  /** Counts an attempt only if another bucket, given by its id, has failures (or, with false, has none). */
  onlyIf?: { bucket: Buffer; hasFailures: boolean };
}

export interface Failures {
  /**
   * Counts an attempt as failed before its result is known. Returns the ids of the buckets that count it. Throws
   * TooManyFailures if one of them is blocked; then no bucket is charged. Inside a transaction, other attempts at
   * these buckets wait for its end. Outside of one, the statement does not wait for the disk: everybody sees the
   * count at once, but a crash of PostgreSQL loses what was counted in its last half second.
   */
  charge(buckets: Bucket[], query?: Query): Promise<Buffer[]>;
  /**
   * Throws TooManyFailures if one of the buckets is blocked. Charges nothing, and does not wait for attempts in
   * progress.
   */
  refuseBlocked(buckets: Bucket[]): Promise<void>;
  /** Takes one charge back from each bucket: the attempt was right, but the login is not complete yet. */
  refund(ids: Buffer[]): Promise<void>;
  /**
   * Locks the buckets until the transaction ends, and charges nothing. Whoever holds the same buckets meanwhile waits.
   * So a right attempt writes no count, and a wrong one is charged before the next one is checked. Throws
   * TooManyFailures if one of the buckets is blocked.
   */
  hold(buckets: Bucket[], query: Query): Promise<void>;
  /** Clears the failures of these buckets. */
  forget(buckets: Bucket[], query: Query): Promise<void>;
}

interface Blocked {
  bucket: Buffer;
  blocked_until: Date;
}

/** For a bucket that is not blocked. A constant, because the clocks of instances and of parallel requests differ. */
const notBlocked = 'to_timestamp(0)';

/** Lets the statement commit without waiting for the disk. Only for a statement that is a transaction of its own. */
const waitingForNoDisk = "set_config('synchronous_commit', 'off', true) is not null";

/** Locks rows in the order in which attempts charge them. In any other order, two statements could deadlock. */
const locked = (buckets: string) =>
  `locked as (select bucket from login_failures where bucket = any(${buckets}) order by bucket for update)`;

const refundAll = `with ${locked('$1::bytea[]')}
  update login_failures f set failures = greatest(failures - 1, 0), blocked_until = ${notBlocked}
  from locked where f.bucket = locked.bucket and ${waitingForNoDisk}`;

const forgetAll = `with ${locked('$1::bytea[]')}
  delete from login_failures f using locked where f.bucket = locked.bucket`;

/** An advisory lock is not written to the log, and there need not be a row for it. */
const holdAll = 'select pg_advisory_xact_lock(key) from unnest($1::bigint[]) as key';

/**
 * The previous release locks the rows first. So does this one, or the two would deadlock. A row that does not exist yet
 * cannot be locked: then PostgreSQL undoes one of two attempts now and then, and it is run once more.
 */
const holdRows = `select bucket, blocked_until from login_failures
  where bucket = any($1::bytea[]) order by bucket for update`;

/** The buckets that count this attempt. */
const asked = `asked as (
    select * from unnest($1::bytea[], $2::int[], $3::int[], $4::int[], $5::timestamptz[], $6::bytea[], $7::boolean[])
      as a(bucket, free, first, longest, forgotten_at, other, has_failures)
    where other is null or has_failures = exists (
      select from login_failures where bucket = other and failures > 0 and expires_at > $8))`;

/**
 * A bucket that was blocked before is found before any is charged. If a parallel attempt blocks a bucket at this
 * moment, the `where` at the end refuses it: then the statement returns fewer buckets than were asked for.
 */
const chargeAll = `with ${asked},
  open as (select where not exists (
    select from login_failures
    where bucket = any(array(select bucket from asked)) and blocked_until > $8 and expires_at > $8))
  insert into login_failures as f (bucket, failures, blocked_until, expires_at)
  select bucket, 1,
    case when free <= 1 then least(forgotten_at, $8::timestamptz + first * interval '1 s') else ${notBlocked} end, forgotten_at
  from asked, open where case when $9::boolean then true else ${waitingForNoDisk} end order by bucket
  on conflict (bucket) do update set (failures, blocked_until, expires_at) = (
    select n, case when n < free then ${notBlocked} else
      least(forgotten_at, $8 + least(longest, first * power(2, least(n - free, 20))) * interval '1 s') end, forgotten_at
    from asked a, lateral (select case when f.expires_at <= $8 then 1 else f.failures + 1 end as n) as count
    where a.bucket = f.bucket)
  where f.blocked_until <= $8 or f.expires_at <= $8
  returning bucket, (select count(*)::int from asked) as asked`;

const longestBlocked = `with ${asked}
  select bucket, blocked_until from login_failures
  where bucket = any(array(select bucket from asked)) and expires_at > $8 order by blocked_until desc limit 1`;

export function createFailures({ query }: Database, now: () => number): Failures {
  const refund = (ids: Buffer[]) => query(refundAll, [ids]);

  /** Throws if this bucket, the one that is blocked for the longest time, is still blocked. */
  function refuse(blocked: Blocked | undefined): void {
    if (blocked && blocked.blocked_until.getTime() > now()) throw tooMany(blocked);
  }

  const tooMany = (blocked: Blocked | undefined) => {
    const waitMs = (blocked?.blocked_until.getTime() ?? 0) - now();
    const seconds = Math.max(1, Math.ceil(waitMs / 1000));
    return new TooManyFailures(seconds, blocked?.bucket.toString('base64url') ?? '');
  };

  return {
    async charge(buckets, on = query) {
      const given = [...columnsOf(buckets), new Date(now())];
      const charged = await on<{ bucket: Buffer; asked: number }>(chargeAll, [...given, on !== query]);
      const ids = charged.map(({ bucket }) => bucket);
      if (charged.length > 0 && charged.length === charged[0]?.asked) return ids;
      // Inside a transaction, the caller decides whether these charges are committed.
      if (charged.length > 0 && on === query) await refund(ids);
      throw tooMany((await on<Blocked>(longestBlocked, given))[0]);
    },
    async refuseBlocked(buckets) {
      refuse((await query<Blocked>(longestBlocked, [...columnsOf(buckets), new Date(now())]))[0]);
    },
    async refund(ids) {
      await refund(ids);
    },
    async hold(buckets, on) {
      await on(holdAll, [lockKeysOf(buckets)]);
      // A statement of its own: one that has waited for a lock does not see what was committed meanwhile.
      const rows = await on<Blocked>(holdRows, [buckets.map(({ id }) => id)]);
      const [blocked] = rows.sort((a, b) => b.blocked_until.getTime() - a.blocked_until.getTime());
      refuse(blocked);
    },
    async forget(buckets, on) {
      await on(forgetAll, [buckets.map(({ id }) => id)]);
    },
  };
}

/** In one order for all, so that no two attempts wait for each other. Two buckets with one key only wait needlessly. */
const lockKeysOf = (buckets: Bucket[]): string[] =>
  buckets
    .map(({ id }) => id)
    .sort(Buffer.compare)
    .map((id) => id.readBigInt64BE().toString());

const columnsOf = (buckets: Bucket[]): unknown[] => [
  buckets.map(({ id }) => id),
  buckets.map(({ free }) => free),
  buckets.map(({ firstDelaySeconds }) => firstDelaySeconds),
  buckets.map(({ longestDelaySeconds }) => longestDelaySeconds),
  buckets.map(({ forgottenAt }) => new Date(forgottenAt)),
  buckets.map(({ onlyIf }) => onlyIf?.bucket ?? null),
  buckets.map(({ onlyIf }) => onlyIf?.hasFailures ?? null),
];
