/** Work that may take longer than a request. It has a connection of its own, so that no request waits for one. */
import type pg from 'pg';
import { type Address, createAddress, DatabaseConnection, type DatabaseSource } from './connection.ts';
import type { Query } from './run_statement.ts';

export interface MaintenanceOptions {
  address: Address;
  /** What pg_stat_activity shows. */
  name: string;
  connectMs: number;
  /** Called when the connection is lost while nothing runs on it. */
  onIdleError(error: Error): void;
}

/** Runs `work` on a new connection without our time limits, which is closed afterwards. */
export async function onOwnConnection<T>(
  { onIdleError, ...options }: MaintenanceOptions,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new DatabaseConnection(options);
  client.on('error', onIdleError);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** For a start and for commands: longer than a request would wait. */
const connectMs = 5000;

/** The same for the database at `source`, for work that needs one connection and nothing else. */
export const connectedTo = <T>(
  source: DatabaseSource,
  name: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> =>
  onOwnConnection({ address: createAddress(source), name, connectMs, onIdleError: () => {} }, work);

/** A `Query` on this connection, without our time limits. */
export const plainQuery =
  (client: pg.Client): Query =>
  async (text, values = []) =>
    (await client.query(text, [...values])).rows;

/**
 * Runs `work` in one transaction of `client`: committed when it returns, rolled back when it throws. Statement and
 * idle timeouts are switched off; the database's own lock timeout stays. `mode` is the text after `begin`.
 */
export async function inLongTransaction<T>(
  client: pg.Client,
  mode: string,
  work: () => Promise<T>,
): Promise<T> {
  await client.query(`begin ${mode}`);
  try {
    // `local`, because a pooler in transaction mode would hand the settings on to other clients.
    await client.query('set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0');
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}
