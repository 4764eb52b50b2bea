/**
 * Deletes expired rows and makes their space usable again. The batches are small, so that their locks do not block
 * requests. Any number of instances may sweep concurrently: each skips the rows that another has locked. Queries
 * ignore expired rows anyway, so nothing depends on when they are deleted.
 */
import type { Log } from '../lib/log.ts';
import { sweepBegun } from './begun.ts';
import type { Database } from './database.ts';
import { type Room, roomForBegun } from './ephemeral.ts';
import { forgetInstances } from './instances.ts';
import { forgetOutages } from './outages.ts';

/** How often an instance sweeps. It is a fraction of the shortest lifetime, so that most rows of a table are live. */
export const sweepEveryMs = 3_000;

/** Tables with a column `expires_at`, except refresh families, which have statements of their own below. */
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

/** The deletion, with the number of rows as its result. */
const counted = (deletion: string) =>
  `with gone as (${deletion} returning 1) select count(*)::int as rows from gone`;

const expiredOf = (table: string, limit: number) =>
  counted(`delete from ${table} where ctid = any(array(
     select ctid from ${table} where expires_at < $1 order by expires_at limit ${limit} for update skip locked))`);

/** The table that the release before this one has, with a row for each token. New installations do not have it. */
const hasTokenRows = "select 1 where to_regclass('refresh_tokens') is not null";

/**
 * Deletes the refresh tokens of expired families. They are deleted before the family: a family may have thousands,
 * which would be too many for the cascade of one statement. They are looked up family by family, so that the planner
 * uses the index even without statistics.
 */
const tokensOfExpiredFamilies = counted(`delete from refresh_tokens where ctid = any(array(
     select t.ctid from (
       select id from refresh_families where expires_at < $1 order by expires_at limit ${batchFamilies}) f
     cross join lateral (
       select ctid from refresh_tokens where family_id = f.id limit ${batchTokensOfFamily} for update skip locked) t
     limit ${batchRows}))`);

/** All tables whose expired rows are deleted. */
export const expiringTables: readonly string[] = [...tables, 'refresh_families'];

export interface Sweeper {
  /** Deletes all expired rows, and the rows of begun requests beyond the room. Returns how many. */
  sweep(): Promise<number>;
  start(everyMs: number): void;
  stop(): void;
}

/** A sweeper of one database. `start` repeats the sweep until `stop`. `room` bounds what anybody can create. */
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

  async function sweepFamilies(): Promise<number> {
    if ((await query(hasTokenRows)).length === 0)
      return sweepTable('refresh_families', expiredOf('refresh_families', batchRows));
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
   * Vacuums the table if it has many dead rows. Autovacuum checks only once a minute. Some rows have that lifetime,
   * so their table would be two or three times as large as its live rows. `deleted` is the number of rows just
   * deleted, which the statistics may not contain yet.
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
    const begun = await sweepBegun(query, room);
    await reuseSpace('ephemeral', begun);
    const forgotten = (await forgetInstances(query, now())) + (await forgetOutages(query, now()));
    return total + begun + forgotten + (await sweepFamilies());
  }

  return {
    sweep,
    start(everyMs) {
      // A random pause, so that instances that were started together do not sweep at the same time.
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
