/**
 * Takes expired rows away, in small batches that lock nothing anybody waits for. Any number of instances may sweep at
 * once: each skips what another has. What is deleted here has been invisible since it expired.
 */
import type { Log } from '../lib/log.ts';
import type { Database } from './database.ts';

/** Tables with an `expires_at`; of refresh tokens the family's decides, for a used token must be known while it lives. */
const tables = [
  'ephemeral',
  'spent',
  'revocations',
  'login_failures',
  'records',
  'sessions',
  'refresh_families',
] as const;

const batchRows = 500;

/** How often an instance sweeps. */
export const sweepEveryMs = 60_000;

export interface Sweeper {
  /** Deletes all that has expired by now. Returns how many rows. */
  sweep(): Promise<number>;
  start(everyMs: number): void;
  stop(): void;
}

export function createSweeper({ query }: Database, log: Log, now: () => number): Sweeper {
  let timer: NodeJS.Timeout | undefined;

  async function sweepTable(table: string): Promise<number> {
    for (let total = 0; ; ) {
      const rows = await query(
        `delete from ${table} where ctid = any(array(
           select ctid from ${table} where expires_at < $1 limit ${batchRows} for update skip locked))
         returning 1 as gone`,
        [new Date(now())],
      );
      total += rows.length;
      if (rows.length < batchRows) return total;
    }
  }

  async function sweep(): Promise<number> {
    let total = 0;
    for (const table of tables) total += await sweepTable(table);
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
