/**
 * The embedded PostgreSQL, for a machine that has none. Its cluster is a directory under DATA_DIR. It listens on
 * loopback only, with a random password. This file owns the cluster's directory and the server process. It does not
 * own the schema or the pool.
 *
 * If the provider is killed, the server keeps running, and the next start adopts it. Two providers never share a
 * cluster.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { exitCode, postgresPrograms } from './postgres_process.ts';
import { bringUp, stopPostmaster } from './postmaster.ts';

export interface EmbeddedPostgresOptions {
  /** The provider's DATA_DIR. It is created if it does not exist. */
  dataDir: string;
  log?: (message: string) => void;
  /** PostgreSQL settings by name. They are added to ours or override them. */
  settings?: Record<string, string>;
}

export interface EmbeddedPostgres {
  url: string;
  /** Ends all connections and stops the server. Resolves when the server is down. */
  stop(): Promise<void>;
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  // The path of a socket is limited to 107 bytes, and the path of a data directory may be longer.
  unix_socket_directories: '',
  shared_buffers: '64MB',
  fsync: 'on',
  synchronous_commit: 'on',
  // After a checkpoint, the first change of a page writes the whole page to the log. Compression makes that smaller.
  wal_compression: 'on',
  checkpoint_timeout: '15min',
};
/** The advisory lock that a running provider holds on its cluster: 'cyph' as a number. */
const LIFE_LOCK = 0x63797068;

/**
 * Creates the cluster if there is none. Starts its server or adopts a running one. Returns the URL of the database
 * `cypher`. Rejects if another provider uses the same directory, or if the server does not start.
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
    // The lock is held until the server is down, so that no other provider adopts a server that is stopping.
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

/** The URL of the server that a provider runs on this DATA_DIR. Rejects if there is no such server. */
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

/**
 * Builds the cluster in a temporary directory and renames it. So neither a start that is killed nor a concurrent
 * start leaves half a cluster.
 */
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

/**
 * Takes the lock on a connection of its own. If the provider is killed, PostgreSQL releases it with the connection.
 */
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
  // After a provider was killed, the server may need a moment to notice that its connection is closed.
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

/**
 * Creates role and database. The role is not a superuser, so that an injected query cannot reach the machine's files.
 */
async function provision(client: pg.Client, password: string): Promise<void> {
  const { rows } = await client.query(
    `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cypher') AS role,
            EXISTS (SELECT FROM pg_database WHERE datname = 'cypher') AS database`,
  );
  if (!rows[0].role) await client.query(`CREATE ROLE cypher LOGIN CREATEDB PASSWORD '${password}'`);
  if (!rows[0].database) await client.query('CREATE DATABASE cypher OWNER cypher');
}

/**
 * Removes what killed starts left behind. This is safe under the lock: a concurrent start without it fails anyway.
 */
async function removeAbandonedStages(dataDir: string): Promise<void> {
  const stages = (await readdir(dataDir)).filter((name) => name.startsWith('postgres.new-'));
  await Promise.all(stages.map((name) => rm(join(dataDir, name), { recursive: true, force: true })));
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
