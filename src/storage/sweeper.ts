/**
 * Takes expired rows away, in small batches that lock nothing anybody waits for, and has their space used again. Any
 * number of instances may sweep at once: each skips what another has. What is deleted here has been invisible since it
 * expired.
 */
import type { Log } from '../lib/log.ts';
import type { Database } from './database.ts';
import { isBegun, type Room, roomForBegun } from './ephemeral.ts';

/** How often an instance sweeps: several times within the shortest life, so that what is live is most of each table. */
export const sweepEveryMs = 3_000;

/** Tables with an `expires_at`, but for refresh families: see below. */
const tables = [
  'ephemeral',
  'spent',
  'guesses',
  'revocations',
  'login_failures',
  'records',
  'sessions',
  'deliveries',
  'invitations',
  'authenticator_resets',
] as const;

const batchRows = 1000;
const batchFamilies = 200;
const batchTokensOfFamily = 100;

/** How many rows went, told in one row. */
const counted = (deletion: string) =>
  `with gone as (${deletion} returning 1) select count(*)::int as rows from gone`;

const expiredOf = (table: string, limit: number) =>
  counted(`delete from ${table} where ctid = any(array(
     select ctid from ${table} where expires_at < $1 order by expires_at limit ${limit} for update skip locked))`);

/**
 * Of refresh tokens the family's end decides, for a used token must be known while its family lives. They go before it:
 * a family may have thousands, and two hundred of those would be too much for one statement's cascade. Family by family,
 * so that a planner without statistics, too, goes by the index.
 */
const tokensOfExpiredFamilies = counted(`delete from refresh_tokens where ctid = any(array(
     select t.ctid from (
       select id from refresh_families where expires_at < $1 order by expires_at limit ${batchFamilies}) f
     cross join lateral (
       select ctid from refresh_tokens where family_id = f.id limit ${batchTokensOfFamily} for update skip locked) t
     limit ${batchRows}))`);

const mayBeTooMuch = `select 1 from pg_stat_user_tables where relid = 'ephemeral'::regclass
   and (n_live_tup > $1 or pg_table_size(relid) > $2)`;

/**
 * How many rows are too many of which owners, by one look at each row. $1: the room, $2: what the smallest row takes of it.
 * `kept`: what all would hold together if nobody held more than this one. Where that is more than the room, the largest
 * share lies below: the room that the small ones leave, in equal parts. Nobody keeps part of a row, so all surpluses together
 * may be more than is to go: the largest owners are taken first, and of equal ones those that began first.
 */
const surpluses = `with shares as (
     select owner, count(*) as rows, sum(greatest(pg_column_size(value), $2::bigint)) as held, min(expires_at) as oldest
     from ephemeral where ${isBegun} group by owner),
   levels as (
     select held, sum(held) over smaller + held * (count(*) over () - row_number() over smaller) as kept
     from shares window smaller as (order by held rows unbounded preceding)),
   largest as (
     select ($1 - coalesce(sum(held) filter (where kept <= $1), 0)) / count(*) filter (where kept > $1) as share,
       max(kept) - $1 as to_go
     from levels having max(kept) > $1),
   larger as (
     select owner, rows, held, oldest, to_go, ceil(rows - round(rows * share / held, 6)) as surplus
     from shares, largest where held > share),
   in_order as (
     select owner, surplus, to_go, sum(surplus * held / rows) over larger_first - surplus * held / rows as gone_before
     from larger window larger_first as (order by held desc, oldest rows unbounded preceding))
   select owner, surplus::int as rows from in_order where gone_before < to_go limit ${batchRows * 10}`;

/** The oldest rows of each owner of $1: as many as stand in $2. All that is begun lives as long as others of its kind. */
const oldestOfOwners = counted(`delete from ephemeral where ctid = any(array(
     select row from unnest($1::text[], $2::int[]) as surplus(owner, rows)
     cross join lateral (
       select ctid as row from ephemeral where owner = surplus.owner and ${isBegun}
       order by expires_at limit surplus.rows for update skip locked) oldest))`);

interface Surplus {
  owner: string;
  rows: number;
}

/** The same rows, in parts of at most `batchRows`. */
function* inBatches(surpluses: Surplus[]): Generator<Surplus[]> {
  let batch: Surplus[] = [];
  let left = batchRows;
  for (const surplus of surpluses)
    for (let { owner, rows } = surplus; rows > 0; ) {
      const some = Math.min(rows, left);
      batch.push({ owner, rows: some });
      rows -= some;
      left -= some;
      if (left > 0) continue;
      yield batch;
      batch = [];
      left = batchRows;
    }
  if (batch.length > 0) yield batch;
}

export interface Sweeper {
  /** Deletes all that has expired by now, and what is begun past its room. Returns how many rows. */
  sweep(): Promise<number>;
  start(everyMs: number): void;
  stop(): void;
}

/** A sweeper over one database; `start` repeats it until `stop`. `room`: for all that is begun. */
export function createSweeper(
  { query, maintain }: Database,
  log: Log,
  now: () => number,
  room: Room = roomForBegun,
): Sweeper {
  let timer: NodeJS.Timeout | undefined;

  const deleteBatch = async (text: string, values: unknown[] = [new Date(now())]): Promise<number> =>
    (await query<{ rows: number }>(text, values))[0]?.rows ?? 0;

  async function sweepTable(table: string, deletion: string): Promise<number> {
    for (let total = 0; ; ) {
      const gone = await deleteBatch(deletion);
      total += gone;
      if (gone === batchRows) continue;
      await reuseSpace(table, total);
      return total;
    }
  }

  /** Looks closely only where the table may hold so much. */
  async function sweepBegun(): Promise<number> {
    if ((await query(mayBeTooMuch, [room.rows, room.bytes])).length === 0) return 0;
    const found = await query<Surplus>(surpluses, [room.bytes, Math.ceil(room.bytes / room.rows)]);
    let total = 0;
    for (const batch of inBatches(found)) {
      const values = [batch.map(({ owner }) => owner), batch.map(({ rows }) => rows)];
      total += await deleteBatch(oldestOfOwners, values);
    }
    await reuseSpace('ephemeral', total);
    return total;
  }

  async function sweepFamilies(): Promise<number> {
    let [tokens, families] = [0, 0];
    for (;;) {
      const goneTokens = await deleteBatch(tokensOfExpiredFamilies);
      tokens += goneTokens;
      if (goneTokens > 0) continue;
      const goneFamilies = await deleteBatch(expiredOf('refresh_families', batchFamilies));
      families += goneFamilies;
      if (goneFamilies < batchFamilies) break;
    }
    await reuseSpace('refresh_tokens', tokens);
    await reuseSpace('refresh_families', families);
    return tokens + families;
  }

  /**
   * Autovacuum looks once a minute, which is as long as some rows live: their table would be twice or three times as large
   * as what is live in it. `deleted` just now may not be in the statistics yet.
   */
  async function reuseSpace(table: string, deleted: number): Promise<void> {
    if (deleted === 0) return;
    const worthIt = await query(
      `select 1 from pg_stat_user_tables
       where relid = $1::regclass and n_dead_tup + $2::int > 500 + n_live_tup * 0.05`,
      [table, deleted],
    );
    if (worthIt.length > 0) await maintain(`vacuum (skip_locked) ${table}`);
  }

  async function sweep(): Promise<number> {
    let total = 0;
    for (const table of tables) total += await sweepTable(table, expiredOf(table, batchRows));
    return total + (await sweepBegun()) + (await sweepFamilies());
  }

  return {
    sweep,
    start(everyMs) {
      // Instances that were started together do not sweep together.
      const wait = everyMs * (0.5 + Math.random());
      timer = setTimeout(async () => {
        await sweep().catch((cause) => log.warn({ cause }, 'expired rows could not be taken away'));
        if (timer) this.start(everyMs);
      }, wait).unref();
    },
    stop() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
