/**
 * Takes expired rows away, in small batches that lock nothing anybody waits for, and has their space used again. Any
 * number of instances may sweep at once: each skips what another has. What is deleted here has been invisible since it
 * expired.
 */
import type { Log } from '../lib/log.ts';
import { sweepBegun } from './begun.ts';
import type { Database } from './database.ts';
import { type Room, roomForBegun } from './ephemeral.ts';

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

/** The deletion, with the number of rows as its result. */
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
    const begun = await sweepBegun(query, room);
    await reuseSpace('ephemeral', begun);
    return total + begun + (await sweepFamilies());
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
