/** The run's PostgreSQL, durable as in production, and the faults that it can have. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/storage/embedded_postgres.ts';
import { adopt, freePort, killTree, signalTree, until } from './processes.ts';

export interface Postgres {
  url: string;
  /** kill -9 of the server and all its backends. */
  kill(): void;
  /** Brings it up again on the same port; resolves when it answers. */
  restart(): Promise<void>;
  pause(): void;
  /** Resolves when it answers again. */
  resume(): Promise<void>;
  /** Ends all connections but the asking one. */
  cutConnections(): Promise<void>;
  query<Row extends object>(text: string): Promise<Row[]>;
  stop(): Promise<void>;
}

export async function startPostgres(dataDir: string): Promise<Postgres> {
  const port = await freePort();
  // The port is fixed so that the providers find it again after a restart.
  const settings = { port: String(port), fsync: 'on', synchronous_commit: 'on', max_connections: '100' };
  let pid = 0;
  async function up(): Promise<EmbeddedPostgres> {
    const server = await startEmbeddedPostgres({ dataDir, settings });
    pid = Number.parseInt(await readFile(join(dataDir, 'postgres/data/postmaster.pid'), 'utf8'), 10);
    adopt(pid);
    return server;
  }
  let running = await up();
  const { url } = running;

  async function query<Row extends object>(text: string): Promise<Row[]> {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1000 });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query<Row>(text)).rows;
    } finally {
      await client.end().catch(() => {});
    }
  }
  return {
    url,
    query,
    kill: () => killTree(pid),
    async restart() {
      running = await up();
    },
    pause: () => signalTree(pid, 'SIGSTOP'),
    async resume() {
      signalTree(pid, 'SIGCONT');
      await until('PostgreSQL after SIGCONT', 10_000, () => query('select 1'));
    },
    async cutConnections() {
      await query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where usename = current_user and pid <> pg_backend_pid()`,
      );
    },
    stop: () => running.stop(),
  };
}
