/** What an operation has PostgreSQL write, and how often it waits for the disk: counted by PostgreSQL itself. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Goal, two, whole } from './work.ts';

export interface DiskUse {
  /** Bytes of write-ahead log that the server's connections have written. */
  walBytes: number;
  /** By how many the log has grown: PostgreSQL's upkeep of all databases is in it, and a vacuum comes by chance. */
  logBytes: number;
  /** Commits that were waited for until they were on the disk. */
  waits: number;
}

/** An idle backend tells what it has counted after ten seconds. */
const toldAfterMs = 11_000;
/** The audit log's last batch is written by then. */
const auditedAfterMs = 1500;

/**
 * Of one of `count` operations, done one after the other, so that no two share a wait. The audit log's batches, which no
 * request waits for, are in the bytes and not in the waits.
 */
export async function diskUseOf(
  databaseUrl: string,
  count: number,
  operation: () => Promise<unknown>,
): Promise<DiskUse> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  async function counted(): Promise<{ syncs: number; batches: number; bytes: Record<string, number> }> {
    await sleep(toldAfterMs);
    const { rows } = await client.query(
      `select (select sum(fsyncs) from pg_stat_io where object = 'wal' and backend_type = 'client backend') as syncs,
         (select count(distinct xmin::text) from audit_log) as batches,
         (select json_object_agg(pid, (pg_stat_get_backend_wal(pid)).wal_bytes) from pg_stat_activity
          where datname = current_database() and backend_type = 'client backend') as bytes`,
    );
    return { syncs: Number(rows[0].syncs), batches: Number(rows[0].batches), bytes: rows[0].bytes };
  }
  async function written(): Promise<number> {
    const { rows } = await client.query("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as bytes");
    return Number(rows[0].bytes);
  }
  try {
    const before = await counted();
    const from = await written();
    for (let done = 0; done < count; done += 1) await operation();
    await sleep(auditedAfterMs);
    const to = await written();
    const after = await counted();
    return {
      walBytes: grownBy(before.bytes, after.bytes) / count,
      logBytes: (to - from) / count,
      waits: (after.syncs - before.syncs - (after.batches - before.batches)) / count,
    };
  } finally {
    await client.end();
  }
}

export const waitsGoal = (most: number, { waits }: DiskUse): Goal => ({
  goal: `waits for the disk at most ${most} ${most === 1 ? 'time' : 'times'}`,
  figure: two(waits),
  // A checkpoint meanwhile waits too.
  met: Math.round(waits) <= most,
});

export const walOf = ({ walBytes, logBytes }: DiskUse): string =>
  `${whole(walBytes)} bytes of WAL by its connections; the log grew by ${whole(logBytes)}`;

/** By connection, so that one that has gone is not taken for one that has written less. */
function grownBy(before: Record<string, number>, after: Record<string, number>): number {
  const gone = Object.keys(before).filter((pid) => after[pid] === undefined);
  if (gone.length > 0) throw new Error(`connections have ended while they were counted: ${gone.join(', ')}`);
  return Object.entries(after).reduce((sum, [pid, bytes]) => sum + bytes - (before[pid] ?? 0), 0);
}
