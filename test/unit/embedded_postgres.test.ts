import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/storage/embedded_postgres.ts';

// A directory that only its owner may pass, and too long for a socket's path.
let dataDir: string;
let parent: string;

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'cypher-postgres-'));
  dataDir = join(parent, 'a-directory-with-a-long-name'.repeat(5), 'data');
});

// A test that fails half-way leaves nothing to the next: neither a server here nor one whose provider is gone.
const started: EmbeddedPostgres[] = [];
async function start(): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDir });
  started.push(postgres);
  return postgres;
}

const providers: ChildProcess[] = [];

afterEach(async () => {
  for (const provider of providers.splice(0)) provider.kill('SIGKILL');
  await Promise.all(started.splice(0).map((postgres) => postgres.stop()));
});

afterAll(async () => {
  await (await startEmbeddedPostgres({ dataDir })).stop();
  await rm(parent, { recursive: true, force: true });
});

/** A provider as far as its database goes: a process of its own, to be killed. Resolves to its first line. */
async function startProvider() {
  const module = JSON.stringify(new URL('../../src/storage/embedded_postgres.ts', import.meta.url).href);
  const script = `const { startEmbeddedPostgres } = await import(${module});
    const { url } = await startEmbeddedPostgres({ dataDir: process.argv[1] });
    console.log(url);
    setInterval(() => {}, 1e6);`;
  const args = ['--input-type=module', '--eval', script, dataDir];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  providers.push(child);
  const [url] = await once(createInterface(child.stdout), 'line', { signal: AbortSignal.timeout(10_000) });
  return {
    url: String(url),
    kill: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client
    .query(text)
    .then(({ rows }) => rows)
    .finally(() => client.end());
}

const pidFile = () => join(dataDir, 'postgres', 'data', 'postmaster.pid');
const postmasterPid = async () => Number.parseInt(await readFile(pidFile(), 'utf8'), 10);

test('makes a cluster for the provider alone: loopback, a password, no superuser, durable', async () => {
  const postgres = await start();
  const [row] = await query(
    postgres.url,
    `SELECT current_database() AS database, current_setting('server_encoding') AS encoding,
       current_setting('listen_addresses') AS addresses,
       current_setting('fsync') || current_setting('synchronous_commit') AS durable,
       current_setting('is_superuser') AS superuser, current_setting('server_version_num')::int / 10000 AS major`,
  );
  expect(row).toEqual({
    database: 'cypher',
    encoding: 'UTF8',
    addresses: '127.0.0.1',
    durable: 'onon',
    superuser: 'off',
    major: 18,
  });
  const wrong = new URL(postgres.url);
  wrong.password = 'wrong';
  await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow('password authentication failed');
  expect((await stat(join(dataDir, 'postgres', 'password'))).mode & 0o777).toBe(0o600);
  expect((await readdir(dataDir)).sort()).toEqual(['postgres', 'postgres.log']);

  await query(postgres.url, 'CREATE TABLE kept AS SELECT 1 AS id');
  await postgres.stop();
  await expect(readFile(pidFile())).rejects.toThrow('ENOENT');
});

test('adopts the server that a killed provider left, and stops it', async () => {
  const killed = await startProvider();
  const pid = await postmasterPid();
  await killed.kill();
  const postgres = await start();
  expect(await postmasterPid()).toBe(pid);
  expect(await query(postgres.url, 'SELECT * FROM kept')).toEqual([{ id: 1 }]);
  await postgres.stop();
  await expect(query(postgres.url, 'SELECT 1')).rejects.toThrow('ECONNREFUSED');
});

test('comes up after the server itself was killed, with every acknowledged row', async () => {
  const killed = await startProvider();
  await query(killed.url, 'INSERT INTO kept VALUES (2)');
  process.kill(await postmasterPid(), 'SIGKILL');
  await killed.kill();
  const postgres = await start();
  expect(await query(postgres.url, 'SELECT * FROM kept ORDER BY id')).toEqual([{ id: 1 }, { id: 2 }]);
  await postgres.stop();
});

test("comes up when postmaster.pid names a stranger's process", async () => {
  const killed = await startProvider();
  const pid = await postmasterPid();
  process.kill(pid, 'SIGKILL');
  await killed.kill();
  const left = await readFile(pidFile(), 'utf8');
  await writeFile(pidFile(), left.replace(/^\d+/, String(process.pid)));
  const postgres = await start();
  expect(await query(postgres.url, 'SELECT count(*)::int AS rows FROM kept')).toEqual([{ rows: 2 }]);
  await postgres.stop();
});

test('refuses a second provider on the same directory, and leaves the first alone', async () => {
  const first = await start();
  await expect(startEmbeddedPostgres({ dataDir })).rejects.toThrow('Another provider runs on DATA_DIR');
  expect(await query(first.url, 'SELECT count(*)::int AS rows FROM kept')).toEqual([{ rows: 2 }]);
  await first.stop();
});

test('of two first starts at once one wins', async () => {
  const fresh = join(parent, 'rivals');
  const starts = await Promise.allSettled([
    startEmbeddedPostgres({ dataDir: fresh }),
    startEmbeddedPostgres({ dataDir: fresh }),
  ]);
  const winners = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  expect(winners).toHaveLength(1);
  expect((await readdir(fresh)).sort()).toEqual(['postgres', 'postgres.log']);
  await winners[0]?.stop();
});
