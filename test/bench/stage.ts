/**
 * What a run stands on: a temporary directory, a PostgreSQL with fsync on and a Redis of its own. It starts no server that
 * is measured (subjects/ does). main.ts makes one stage and takes it down.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../src/storage/embedded_postgres.ts';
import { findOnPath } from '../support/programs.ts';
import { ofFamily, ofProcess } from './usage.ts';

export interface Stage {
  directory: string;
  redisUrl: string;
  /** Makes an empty database and returns its URL. */
  createDatabase(): Promise<string>;
  /** CPU seconds used so far. */
  postgresSeconds(): number;
  redisSeconds(): number;
  /** Has `close` call this first; of several the last one that was added. */
  onClose(stop: () => Promise<unknown>): void;
  /** Ends all that was started here, whether its start was finished or not. */
  close(): Promise<void>;
}

export async function buildStage(): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'cypher-bench-'));
  // A server that has just ended may still have been writing.
  const stops: (() => Promise<unknown>)[] = [
    () => rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }),
  ];
  const close = async () => {
    for (let stop = stops.pop(); stop; stop = stops.pop()) await stop();
  };
  try {
    return await startStorage(directory, stops, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function startStorage(
  directory: string,
  stops: (() => Promise<unknown>)[],
  close: () => Promise<void>,
): Promise<Stage> {
  const postgres = await startEmbeddedPostgres({ dataDir: directory, settings: { max_connections: '200' } });
  stops.push(postgres.stop);
  const postmaster = Number.parseInt(
    readFileSync(join(directory, 'postgres/data/postmaster.pid'), 'utf8'),
    10,
  );
  const redis = await startRedis(directory);
  stops.push(redis.stop);
  return {
    directory,
    redisUrl: redis.url,
    async createDatabase() {
      const name = `bench_${randomBytes(6).toString('hex')}`;
      const client = new pg.Client({ connectionString: postgres.url });
      await client.connect();
      await client.query(`create database ${name}`).finally(() => client.end());
      const url = new URL(postgres.url);
      url.pathname = `/${name}`;
      return url.href;
    },
    postgresSeconds: () => ofFamily(postmaster),
    redisSeconds: () => ofProcess(redis.pid),
    onClose: (stop) => void stops.push(stop),
    close,
  };
}

async function startRedis(directory: string) {
  const program = findOnPath('redis-server');
  if (!program)
    throw new Error('The bench needs redis-server on PATH (Debian: apt-get install redis-server).');
  const port = await freePort();
  const flags = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const child = spawn(program, [...flags, '--dir', directory], { stdio: 'ignore' });
  const client = new Redis({ port, host: '127.0.0.1', lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => {});
  while (
    !(await client.connect().then(
      () => true,
      () => false,
    ))
  ) {
    if (child.exitCode !== null) throw new Error('redis-server ended at once');
    await sleep(10);
  }
  client.disconnect();
  return {
    pid: Number(child.pid),
    url: `redis://127.0.0.1:${port}`,
    stop: () =>
      new Promise<void>((resolve) => {
        child.once('exit', () => resolve());
        child.kill('SIGTERM');
      }),
  };
}

/** A port on loopback that nobody uses now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
