/** Work that takes longer than a request may: each on a connection of its own, which no request waits for. */
import pg from 'pg';
import type { Query } from './run_statement.ts';

export interface MaintenanceOptions {
  url: string;
  connectMs: number;
  onIdleError(error: Error): void;
}

/** Runs `work` on a connection of its own. */
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

/** A `Query` on this connection, without limits. */
export const plainQuery =
  (client: pg.Client): Query =>
  async (text, values = []) =>
    (await client.query(text, [...values])).rows;

/**
 * Runs `work` in one transaction of `client`, without limits of time but the database's own, for a lock. `mode`: what follows
 * `begin`.
 */
export async function inLongTransaction<T>(
  client: pg.Client,
  mode: string,
  work: () => Promise<T>,
): Promise<T> {
  await client.query(`begin ${mode}`);
  try {
    // Local, so that a pooler in transaction mode does not leave them on for others.
    await client.query('set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0');
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}
