/**
 * The storage that Cypher may run on. Every store passes the same tests on each of them: two instances over PostgreSQL and
 * Redis, the same with Redis gone, PostgreSQL alone, and the embedded PostgreSQL.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { redisTarget } from '../../src/config/redis.ts';
import { settingsSchema } from '../../src/config/schema.ts';
import type { RedisTarget } from '../../src/lib/redis_target.ts';
import { type Cache, noCache, openRedisCache } from '../../src/storage/cache.ts';
import { type Database, openDatabase } from '../../src/storage/database.ts';
import { startEmbeddedPostgres } from '../../src/storage/embedded_postgres.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { createMigratedDatabase, createRedisDatabase, generousTimeouts } from '../support/databases.ts';

const migrations = new URL('../../migrations', import.meta.url).pathname;

export interface Instance {
  database: Database;
  cache: Cache;
}

export interface Backend {
  /** Two that must agree. On the embedded PostgreSQL there may be one process only, and both are the same. */
  instances: [Instance, Instance];
  now(): number;
  /** Turns the clock. */
  pass(seconds: number): void;
}

interface Opened {
  instances: [Instance, Instance];
  close(): Promise<unknown>;
}

const pool = (url: string) => openDatabase(url, { onIdleError: () => {}, timeouts: generousTimeouts });
/** Nothing listens on port 1. */
const nowhere = 'redis://127.0.0.1:1';

async function onRedis(redisUrl: string): Promise<Opened> {
  const { url, drop } = await createMigratedDatabase();
  const target = redisTarget(settingsSchema.parse({ REDIS_URL: redisUrl })) as RedisTarget;
  const instance = async () => ({ database: pool(url), cache: await openRedisCache(target) });
  const instances: [Instance, Instance] = [await instance(), await instance()];
  return {
    instances,
    async close() {
      await Promise.all(instances.flatMap(({ database, cache }) => [database.close(), cache.close()]));
      await drop();
    },
  };
}

async function alone(): Promise<Opened> {
  const { url, drop } = await createMigratedDatabase();
  const instance = () => ({ database: pool(url), cache: noCache });
  const instances: [Instance, Instance] = [instance(), instance()];
  return {
    instances,
    async close() {
      await Promise.all(instances.map(({ database }) => database.close()));
      await drop();
    },
  };
}

async function embedded(): Promise<Opened> {
  const dataDir = await mkdtemp(join(tmpdir(), 'cypher-contract-'));
  const server = await startEmbeddedPostgres({ dataDir });
  await migrate(server.url, migrations);
  const instance = { database: pool(server.url), cache: noCache };
  return {
    instances: [instance, instance],
    async close() {
      await instance.database.close();
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

const backends: Record<string, () => Promise<Opened>> = {
  'PostgreSQL with Redis': async () => onRedis(await createRedisDatabase()),
  'PostgreSQL with a Redis that is gone': () => onRedis(nowhere),
  'PostgreSQL alone': alone,
  'embedded PostgreSQL': embedded,
};

/** Declares the same tests for each back-end; `declare` is handed a way to the opened one. */
export function onEveryBackend(store: string, declare: (backend: () => Backend) => void): void {
  describe.each(Object.entries(backends))(`${store} on %s`, (_name, open) => {
    let opened: Opened;
    let at = Date.now();
    beforeAll(async () => {
      opened = await open();
    }, 60_000);
    afterAll(() => opened?.close());
    declare(() => ({
      instances: opened.instances,
      now: () => at,
      pass(seconds) {
        at += seconds * 1000;
      },
    }));
  });
}

/** Runs `one` forty times at once, through both instances in turn. */
export const atOnce = <T>(instances: readonly [Instance, Instance], one: (on: Instance) => Promise<T>) =>
  Promise.all(Array.from({ length: 40 }, (_, index) => one(instances[index % 2] as Instance)));
