/** What operators want to know of the database: whether it is the primary, and whether the sweeps keep up. */
import type { Query } from './run_statement.ts';
import { expiringTables } from './sweeper.ts';

export interface DatabaseState {
  /** Of the server that answered. */
  role: 'primary' | 'standby';
  /** By table, for how many seconds the oldest expired row has been waiting for its deletion. */
  overdueSeconds: Record<string, number>;
}

/** Reads the first entry of an index for each table. `now`: milliseconds since the epoch. */
export async function readDatabaseState(query: Query, now: number): Promise<DatabaseState> {
  const [server] = await query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
  // A standby has no unlogged tables to read.
  if (server?.standby) return { role: 'standby', overdueSeconds: {} };
  const overdue = expiringTables.map(
    (table) =>
      `(select coalesce(greatest(extract(epoch from $1::timestamptz - min(expires_at)), 0), 0)::float8 from ${table}) as ${table}`,
  );
  const [overdueSeconds = {}] = await query<Record<string, number>>(`select ${overdue.join(', ')}`, [
    new Date(now),
  ]);
  return { role: 'primary', overdueSeconds };
}
