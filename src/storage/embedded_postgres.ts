// A PostgreSQL of the provider's own, for a machine that has none: a cluster under DATA_DIR, reached on loopback by
// a random password. It owns the cluster's directory and the server process, not the schema or the pool.
// The server outlives a killed provider, whose next start adopts it; two providers never share one. Called by
// storage/database.ts when DATABASE_URL is absent, and by the tests' global setup.
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { exitCode, postgresPrograms } from './postgres_process.ts';
import { bringUp, stopPostmaster } from './postmaster.ts';

export interface EmbeddedPostgresOptions {
  /** The provider's DATA_DIR; made if it is not there. */
  dataDir: string;
  log?: (message: string) => void;
  /** PostgreSQL settings beside or instead of ours, by their names in its manual. */
  settings?: Record<string, string>;
}

export interface EmbeddedPostgres {
  url: string;
  /** Ends all connections and the server; resolves when it is down. */
  stop(): Promise<void>;
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  // A socket's path may have 107 bytes; a data directory's may have more.
  unix_socket_directories: '',
  shared_buffers: '64MB',
  fsync: 'on',
  synchronous_commit: 'on',
  // The first change of a page after a checkpoint is written as the whole page.
  wal_compression: 'on',
  checkpoint_timeout: '15min',
};
/** The advisory lock that says "a provider lives on this cluster": 'cyph' as a number. */
const LIFE_LOCK = 0x63797068;

/**
 * Makes the cluster if there is none, starts its server or adopts a running one, and returns the URL of the
 * database `cypher`. Rejects when another provider uses the same directory, or when the server does not come up.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => {});
  await mkdir(options.dataDir, { recursive: true, mode: 0o700 });
  const dataDir = await realpath(options.dataDir);
  const home = join(dataDir, 'postgres');
  if (!(await exists(home))) await createCluster(dataDir, home, log);
  const programs = await postgresPrograms(home);
  const password = await readFile(join(home, 'password'), 'utf8');

  const cluster = join(home, 'data');
  const settings = { ...SETTINGS, ...options.settings };
  const server = await bringUp({ cluster, logFile: join(dataDir, 'postgres.log'), programs, settings, log });
  const url = (user: string, database: string) =>
    `postgresql://${user}:${password}@127.0.0.1:${server.port}/${database}`;
  const life = await takeLifeLock(url('postgres', 'postgres'), dataDir, log);
  await provision(life, password);
  await removeAbandonedStages(dataDir);

  let stopped: Promise<void> | undefined;
  const stop = async () => {
    life.removeAllListeners('error').on('error', () => {});
    // The lock is held to the end, so nobody can adopt a server that is going down.
    await stopPostmaster(cluster, server);
    await life.end().catch(() => {});
  };
  return {
    url: url('cypher', 'cypher'),
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

/** The URL of the server that a provider runs on this DATA_DIR. Rejects where none does. */
export async function runningPostgresUrl(dataDir: string): Promise<string> {
  const home = join(dataDir, 'postgres');
  try {
    const password = await readFile(join(home, 'password'), 'utf8');
    // https://www.postgresql.org/docs/18/storage-file-layout.html: the fourth line is the port.
    const [, , , port] = (await readFile(join(home, 'data/postmaster.pid'), 'utf8')).split('\n');
    return `postgresql://cypher:${password}@127.0.0.1:${Number(port)}/cypher`;
  } catch (cause) {
    throw new Error(`no provider runs on DATA_DIR ${dataDir}: start it, or set DATABASE_URL`, { cause });
  }
}

/** Made aside and renamed, so that a start that is killed half-way, or a rival one, leaves no half cluster. */
async function createCluster(dataDir: string, home: string, log: (message: string) => void): Promise<void> {
  log('making an embedded PostgreSQL cluster');
  const stage = await mkdtemp(join(dataDir, 'postgres.new-'));
  try {
    await initialise(stage);
    await rename(stage, home);
  } catch (error) {
    await rm(stage, { recursive: true, force: true });
    if (!(await exists(home))) throw error;
  }
}

async function initialise(stage: string): Promise<void> {
  const programs = await postgresPrograms(stage);
  const passwordFile = join(stage, 'password');
  await writeFile(passwordFile, randomBytes(32).toString('hex'), { mode: 0o600 });
  await programs.own(passwordFile);
  const flags = [
    ...['--pgdata', join(stage, 'data'), '--username=postgres', '--auth=scram-sha-256'],
    ...['--pwfile', passwordFile, '--encoding=UTF8', '--no-instructions'],
    ...['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
  ];
  const initdb = programs.spawn(programs.initdb, flags, { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaints = '';
  initdb.stderr?.on('data', (chunk) => {
    complaints += chunk;
  });
  if ((await exitCode(initdb)) !== 0) throw new Error(`PostgreSQL's initdb failed: ${complaints.trim()}`);
}

/** Holds an advisory lock on a connection of its own for life: a killed provider's goes with its connection. */
async function takeLifeLock(
  url: string,
  dataDir: string,
  log: (message: string) => void,
): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'cypher-life-lock' });
  client.on('error', (error) =>
    log(`the embedded PostgreSQL closed the lock's connection: ${error.message}`),
  );
  await client.connect();
  // A provider killed a moment ago may not be gone for the server yet.
  for (let waitedMs = 0; waitedMs <= 1000; waitedMs += 50) {
    const { rows } = await client.query('SELECT pg_try_advisory_lock($1) AS taken', [LIFE_LOCK]);
    if (rows[0].taken) return client;
    await sleep(50);
  }
  await client.end();
  throw new Error(
    `Another provider runs on DATA_DIR ${dataDir}: stop it, or give this one its own DATA_DIR.`,
  );
}

/** The provider's role is no superuser: a fault in a query must not reach the machine's files. */
async function provision(client: pg.Client, password: string): Promise<void> {
  const { rows } = await client.query(
    `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cypher') AS role,
            EXISTS (SELECT FROM pg_database WHERE datname = 'cypher') AS database`,
  );
  if (!rows[0].role) await client.query(`CREATE ROLE cypher LOGIN CREATEDB PASSWORD '${password}'`);
  if (!rows[0].database) await client.query('CREATE DATABASE cypher OWNER cypher');
}

/** What killed starts left; safe under the lock, for a rival start without it comes to nothing. */
async function removeAbandonedStages(dataDir: string): Promise<void> {
  const stages = (await readdir(dataDir)).filter((name) => name.startsWith('postgres.new-'));
  await Promise.all(stages.map((name) => rm(join(dataDir, name), { recursive: true, force: true })));
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
