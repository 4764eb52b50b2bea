/**
 * Takes expired rows away, in small batches that lock nothing anybody waits for, and has their space used again. Any
 * number of instances may sweep at once: each skips what another has. What is deleted here has been invisible since it
 * expired.
 */
import type { Log } from '../lib/log.ts';
import type { Database } from './database.ts';

/** How often an instance sweeps: several times within the shortest life, so that what is live is most of each table. */
export const sweepEveryMs = 10_000;

const batchRows = 500;

const batchOf = (table: string) =>
  `delete from ${table} where ctid = any(array(
     select ctid from ${table} where expires_at < $1 limit ${batchRows} for update skip locked))
   returning 1 as gone`;

/**
 * What deletes a batch of each table. Of refresh tokens the family's `expires_at` decides, for a used token must be known
 * while its family lives; they go before it, for a family may have thousands, too many for one statement's cascade.
 */
const batches = {
  ephemeral: batchOf('ephemeral'),
  spent: batchOf('spent'),
  revocations: batchOf('revocations'),
  login_failures: batchOf('login_failures'),
  records: batchOf('records'),
  sessions: batchOf('sessions'),
  refresh_tokens: `delete from refresh_tokens where ctid = any(array(
      select t.ctid from refresh_families f join refresh_tokens t on t.family_id = f.id
      where f.expires_at < $1 limit ${batchRows} for update of t skip locked))
    returning 1 as gone`,
  refresh_families: batchOf('refresh_families'),
};

export interface Sweeper {
  /** Deletes all that has expired by now. Returns how many rows. */
  sweep(): Promise<number>;
  start(everyMs: number): void;
  stop(): void;
}

/** A sweeper over one database; `start` repeats it until `stop`. */
export function createSweeper({ query, maintain }: Database, log: Log, now: () => number): Sweeper {
  let timer: NodeJS.Timeout | undefined;

  async function sweepTable(table: string, batch: string): Promise<number> {
    for (let total = 0; ; ) {
      const rows = await query(batch, [new Date(now())]);
      total += rows.length;
      if (rows.length === batchRows) continue;
      if (total > 0) await reuseSpace(table, total);
      return total;
    }
  }

  /**
   * Autovacuum looks once a minute, which is as long as some rows live: their table would be twice or three times as large
   * as what is live in it. `deleted` just now may not be in the statistics yet.
   */
  async function reuseSpace(table: string, deleted: number): Promise<void> {
    const worthIt = await query(
      `select 1 from pg_stat_user_tables
       where relid = $1::regclass and n_dead_tup + $2::int > 1000 + n_live_tup * 0.1`,
      [table, deleted],
    );
    if (worthIt.length > 0) await maintain(`vacuum (skip_locked) ${table}`);
  }

  async function sweep(): Promise<number> {
    let total = 0;
    for (const [table, batch] of Object.entries(batches)) total += await sweepTable(table, batch);
    return total;
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
