// Starts one PostgreSQL and one Redis for the whole run, unless DATABASE_URL or REDIS_URL names one. Also builds what
// `npm start` runs.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/storage/embedded_postgres.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { buildServer } from './built.ts';
import { findOnPath } from './programs.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** A PostgreSQL whose role may create databases. */
    postgresUrl: string;
    redisUrl: string;
    /** The name of a database that all migrations have run in, and that nobody may connect to: it is copied. */
    migratedTemplate: string;
  }
}

interface Server {
  url: string;
  stop(): Promise<void>;
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'cypher-test-'));
  const [postgres, redis] = await Promise.all([
    startPostgres(directory),
    startRedis(directory),
    buildServer(),
  ]);
  project.provide('postgresUrl', postgres.url);
  project.provide('redisUrl', redis.url);
  const template = await createTemplate(postgres.url);
  project.provide('migratedTemplate', template.name);
  return async () => {
    await template.drop();
    await Promise.all([postgres.stop(), redis.stop()]);
    await rm(directory, { recursive: true, force: true });
  };
}

async function createTemplate(postgresUrl: string): Promise<{ name: string; drop(): Promise<void> }> {
  const name = `test_template_${randomBytes(8).toString('hex')}`;
  const url = new URL(postgresUrl);
  url.pathname = `/${name}`;
  await administer(postgresUrl, `CREATE DATABASE ${name}`);
  await migrate(url.href, fileURLToPath(new URL('../../migrations', import.meta.url)));
  await administer(postgresUrl, `ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS false`);
  return { name, drop: () => administer(postgresUrl, `DROP DATABASE ${name}`) };
}

async function administer(postgresUrl: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: postgresUrl });
  await client.connect();
  await client.query(statement).finally(() => client.end());
}

const given = (url: string): Server => ({ url, stop: async () => {} });

async function startPostgres(dataDir: string): Promise<Server> {
  const url = process.env.DATABASE_URL;
  if (url) return given(url);
  // Nothing of this cluster is to outlive the run, so it need not wait for the disk.
  const settings = {
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    max_connections: '400',
  };
  return startEmbeddedPostgres({ dataDir, settings });
}

async function startRedis(directory: string): Promise<Server> {
  const url = process.env.REDIS_URL;
  if (url) return given(url);
  const program = findOnPath('redis-server');
  if (!program) throw new Error('The tests need redis-server on PATH, or REDIS_URL: `npm test` sees to it.');
  const port = await freePort();
  const flags = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const redis = spawn(program, [...flags, '--databases', '4096', '--dir', directory], { stdio: 'ignore' });
  await answers(port);
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: () =>
      new Promise((resolve) => {
        redis.once('exit', () => resolve());
        redis.kill('SIGTERM');
      }),
  };
}

async function answers(port: number): Promise<void> {
  const client = new Redis({ port, host: '127.0.0.1', lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => {});
  for (let tries = 0; tries < 500; tries += 1) {
    const up = await client.connect().then(
      () => true,
      () => false,
    );
    if (up) return client.disconnect();
    await sleep(10);
  }
  throw new Error('redis-server did not come up');
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
