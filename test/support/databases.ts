import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { inject } from 'vitest';
import type { StorageTimeouts } from '../../src/storage/database.ts';

/** For a test of what is refused, and not of how long a server waits until then. */
export const hastyTimeouts: StorageTimeouts = {
  goneMs: 800,
  statementMs: 800,
  requestMs: { app: 900, person: 900 },
};

/** Long timeouts, for a test that is not about outages: on a busy machine, storage may be slow. */
export const generousTimeouts: StorageTimeouts = {
  goneMs: 30_000,
  statementMs: 30_000,
  requestMs: { app: 30_000, person: 30_000 },
};

export interface TestDatabase {
  url: string;
  drop(): Promise<void>;
}

/** A fresh, empty database on the run's PostgreSQL: one for each test file, so that files run side by side. */
export const createDatabase = (): Promise<TestDatabase> => createFrom('template1');

/** The same with the tables of all migrations. It is a copy: that takes half as long as running them. */
export const createMigratedDatabase = (): Promise<TestDatabase> => createFrom(inject('migratedTemplate'));

async function createFrom(template: string): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await administer(`CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY FILE_COPY`);
  const url = new URL(inject('postgresUrl'));
  url.pathname = `/${name}`;
  return {
    url: url.href,
    async drop() {
      await leftAlone(name);
      const dropped = () => administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      // "Permission denied" where PostgreSQL is just vacuuming there, by a process that is not ours to end.
      await dropped().catch(() => sleep(500).then(dropped));
    },
  };
}

/** Connections that were closed are gone for PostgreSQL a moment later: one that it has to cut off would end the process. */
async function leftAlone(name: string): Promise<void> {
  for (let tries = 0; tries < 40; tries++) {
    const rows = await administer(`select from pg_stat_activity where datname = '${name}'`);
    if (rows.length === 0) return;
    await sleep(25);
  }
}

async function administer(statement: string): Promise<object[]> {
  const client = new pg.Client({ connectionString: inject('postgresUrl') });
  await client.connect();
  return (await client.query(statement).finally(() => client.end())).rows;
}

/** The URL of an empty database on the run's Redis. It has more than a whole run takes, so that none is taken twice. */
export async function createRedisDatabase(): Promise<string> {
  const client = new Redis(inject('redisUrl'));
  const [, databases] = (await client.config('GET', 'databases')) as [string, string];
  const number = 1 + ((await client.incr('test:databases')) % (Number(databases) - 1));
  await client.select(number);
  await client.flushdb();
  client.disconnect();
  const url = new URL(inject('redisUrl'));
  url.pathname = `/${number}`;
  return url.href;
}
