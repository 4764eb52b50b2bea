/** Work that may take longer than a request. It has a connection of its own, so that no request waits for one. */
import pg from 'pg';
import type { Query } from './run_statement.ts';

export interface MaintenanceOptions {
  url: string;
  connectMs: number;
  onIdleError(error: Error): void;
}

/** Runs `work` on a new connection, which is closed afterwards. */
export async function onOwnConnection<T>(
  { url, connectMs, onIdleError }: MaintenanceOptions,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: connectMs,
    application_name: 'cypher',
  });
  client.on('error', onIdleError);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end();
  }
}

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
