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
import { createUnusedFamilies } from './unused_families.ts';

/** How often an instance sweeps. It is a fraction of the shortest lifetime, so that most rows of a table are live. */
export const sweepEveryMs = 3_000;

/** The primary keys of the tables with a column `expires_at`. */
const primaryKeys = {
  ephemeral: ['key'],
  spent: ['id'],
  guesses: ['bucket'],
  revocations: ['subject'],
  login_failures: ['bucket'],
  records: ['model', 'id_hash'],
  sessions: ['id_hash'],
  deliveries: ['id'],
  invitations: ['username_key'],
  authenticator_resets: ['account_id'],
  refresh_families: ['id'],
};

type Table = keyof typeof primaryKeys;

/** All tables whose expired rows are deleted. */
export const expiringTables = Object.keys(primaryKeys) as Table[];

const batchRows = 1000;
const batchFamilies = 200;
const batchTokensOfFamily = 100;

/**
 * Deletes a batch of expired rows by their primary key: a row's `ctid` changes with every update, and is not unique in
 * a partitioned table. The arrays make PostgreSQL read the index in its order, which is faster than a join.
 */
function expiredOf(table: Table, limit: number): string {
  const keys = primaryKeys[table];
  const isOld = keys.map((key) => `${key} = any(array(select ${key} from old))`).join(' and ');
  return `with old as materialized (
       select ${keys.join(', ')} from ${table} where expires_at < $1 order by expires_at limit ${limit}
       for update skip locked),
     gone as (delete from ${table} where ${isOld} and expires_at < $1 returning 1)
     select count(*)::int as rows from gone`;
}

/** The table that the release before this one has, with a row for each token. New installations do not have it. */
const hasTokenRows = "select 1 where to_regclass('refresh_tokens') is not null";

/**
 * Deletes the refresh tokens of expired families. They are deleted before the family: a family may have thousands,
 * which would be too many for the cascade of one statement. They are looked up family by family, so that the planner
 * uses the index even without statistics.
 */
const tokensOfExpiredFamilies = `with gone as (delete from refresh_tokens where token_hash = any(array(
     select t.token_hash from (
       select id from refresh_families where expires_at < $1 order by expires_at limit ${batchFamilies}) f
     cross join lateral (
       select token_hash from refresh_tokens where family_id = f.id limit ${batchTokensOfFamily} for update skip locked) t
     limit ${batchRows})) returning 1)
   select count(*)::int as rows from gone`;

export interface Sweeper {
  /** Deletes all expired rows, and the rows of begun requests beyond the room. Returns how many. */
  sweep(): Promise<number>;
  start(everyMs: number): void;
  stop(): void;
}

/** A sweeper of one database. `start` repeats the sweep until `stop`. `room` bounds what anybody can create. */
export function createSweeper(
  { query, queryPlannedAnew, maintain }: Database,
  log: Log,
  now: () => number,
  room: Room = roomForBegun,
): Sweeper {
  let timer: NodeJS.Timeout | undefined;
  const deleteUnusedFamilies = createUnusedFamilies(queryPlannedAnew, now);

  const deleteBatch = async (text: string): Promise<number> =>
    (await queryPlannedAnew<{ rows: number }>(text, [new Date(now())]))[0]?.rows ?? 0;

  async function sweepTable(table: Table): Promise<number> {
    for (let total = 0; ; ) {
      const gone = await deleteBatch(expiredOf(table, batchRows));
      total += gone;
      if (gone === batchRows) continue;
      await reuseSpace(table, total);
      return total;
    }
  }

  async function sweepFamilies(): Promise<number> {
    if ((await query(hasTokenRows)).length === 0)
      return (await sweepTable('refresh_families')) + (await deleteUnusedFamilies());
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
    for (const table of expiringTables)
      total += table === 'refresh_families' ? await sweepFamilies() : await sweepTable(table);
    const begun = await sweepBegun(queryPlannedAnew, room);
    await reuseSpace('ephemeral', begun);
    const forgotten = (await forgetInstances(query, now())) + (await forgetOutages(query, now()));
    return total + begun + forgotten;
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
