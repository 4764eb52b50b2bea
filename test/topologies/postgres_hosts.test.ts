/** DATABASE_URL with several hosts: a real primary and a real standby that is promoted. A standby alone is refused. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { openDatabase } from '../../src/storage/database.ts';
import { readDatabaseState } from '../../src/storage/database_state.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { apps } from '../support/apps.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { runCypher } from '../support/cypher.ts';
import { createRedisDatabase, generousTimeouts } from '../support/databases.ts';
import { asApp, tokensOfSomebody } from '../support/person.ts';
import { startProcess } from '../support/provider_process.ts';
import { kek } from '../support/server.ts';

const { spa } = apps;
const migrations = new URL('../../migrations', import.meta.url).pathname;

/** One URL with the hosts of both. */
const both = (one: Cluster, two: Cluster) =>
  one.url.replace(`:${one.port}/`, `:${one.port},127.0.0.1:${two.port}/`);

test('of several hosts the one that takes writes is used, also after a failover; nobody is signed out', async () => {
  const primary = await startCluster();
  const standby = await primary.standby();
  const shared = {
    // The standby comes first: an instance that took the first host would not start.
    DATABASE_URL: `${both(standby, primary)}?target_session_attrs=read-write`,
    REDIS_URL: await createRedisDatabase(),
  };
  const instance = await startProcess(shared);
  await instance.up();
  const { refresh_token } = await tokensOfSomebody(instance.url, spa);
  let token = refresh_token;
  const refresh = async (on: { url: string } = instance) => {
    const answer = await asApp(on, spa, { grant_type: 'refresh_token', refresh_token: token });
    if (answer.status === 200) token = answer.body.refresh_token;
    return answer.status;
  };
  expect(await refresh()).toBe(200);

  await primary.stop();
  expect(await refresh()).toBe(503);
  await standby.admin('select pg_promote()');
  await expect.poll(() => refresh()).toBe(200);
  // An instance and a command that start now find it too.
  const later = await startProcess({ ...shared, ISSUER: instance.url });
  await later.up();
  expect(await refresh(later)).toBe(200);
  const listed = await runCypher(['client', 'list'], {
    ...shared,
    KEY_ENCRYPTION_KEY: kek.toString('base64url'),
  });
  expect([listed.code, listed.stderr]).toEqual([0, '']);
});

test('an instance does not start on a standby, and says so', async () => {
  const primary = await startCluster();
  await migrate(primary.url, migrations);
  const standby = await primary.standby();
  const instance = await startProcess({ DATABASE_URL: standby.url });
  expect(await instance.ended).toBe(78);
  expect(instance.output().trim()).toMatch(
    /^Cypher cannot start: DATABASE_URL cannot be used: 127\.0\.0\.1:\d+: this server is a standby[^\n]*$/,
  );

  // A primary that an instance is connected to may become a standby: then the metrics say so.
  const client = new pg.Client(standby.url);
  await client.connect();
  onTestFinished(() => client.end());
  const query = async <Row>(text: string, values?: readonly unknown[]) =>
    (await client.query(text, [...(values ?? [])])).rows as Row[];
  await expect.poll(() => readDatabaseState(query, Date.now())).toMatchObject({ role: 'standby' });
});

test('a primary that hangs is left for the one that was promoted', async () => {
  const primary = await startCluster();
  const standby = await primary.standby();
  const database = openDatabase(both(primary, standby), { onIdleError: () => {} });
  const reliable = () => watch.reliable();
  const watch = database.watch('cypher_clients', () => {});
  await database.query('create table noted (at int)');
  await expect.poll(reliable).toBe(true);
  const isThere = `select to_regclass('noted') is not null as there`;
  await expect.poll(() => standby.admin(isThere)).toEqual([{ there: true }]);
  primary.signal('SIGSTOP');
  onTestFinished(() => primary.signal('SIGCONT'));
  await expect(database.query('insert into noted values (1)')).rejects.toMatchObject({
    code: 'temporarily_unavailable',
  });
  await standby.admin('select pg_promote()');
  await expect.poll(() => database.query('insert into noted values (2)').catch(() => undefined)).toEqual([]);
  await expect.poll(reliable).toBe(true);
  expect(await database.query('select at from noted')).toEqual([{ at: 2 }]);
  await database.close();
});

test('a server that becomes read-only is left, and used again when it takes writes', async () => {
  const cluster = await startCluster();
  const database = openDatabase(cluster.url, { onIdleError: () => {} });
  await database.query('create table noted (at int)');
  await cluster.admin('alter database cypher set default_transaction_read_only = on');
  await cluster.admin(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'cypher'`);
  await expect
    .poll(() =>
      database.query('select 1').then(
        () => undefined,
        ({ code, cause }) => [code, cause.code],
      ),
    )
    .toEqual(['temporarily_unavailable', '25006']);
  await cluster.admin('alter database cypher reset default_transaction_read_only', 'postgres');
  await expect.poll(() => database.query('insert into noted values (1)').catch(() => undefined)).toEqual([]);
  await database.close();
});

test('a deadlock costs nobody an answer: what PostgreSQL has undone is run once more', async () => {
  const cluster = await startCluster();
  await cluster.admin(`alter system set deadlock_timeout = '100ms'`);
  await cluster.admin('select pg_reload_conf()');
  const database = openDatabase(cluster.url, { onIdleError: () => {}, timeouts: generousTimeouts });
  await database.query('create table pair (id int primary key, changes int)');
  await database.query('insert into pair values (1, 0), (2, 0)');
  let [runs, holding] = [0, 0];
  const change = 'update pair set changes = changes + 1 where id = $1';
  let bothHold: () => void = () => {};
  const held = new Promise<void>((resolve) => {
    bothHold = resolve;
  });
  const crosswise = (first: number, second: number) =>
    database.transaction(async (query) => {
      runs += 1;
      await query(change, [first]);
      holding += 1;
      if (holding === 2) bothHold();
      await held;
      await query(change, [second]);
    });
  await Promise.all([crosswise(1, 2), crosswise(2, 1)]);
  expect(runs).toBe(3);
  expect(await database.query('select distinct changes from pair')).toEqual([{ changes: 2 }]);
  await database.close();
});

test('a migration that adds a column to what a prepared statement returns is not noticed', async () => {
  const cluster = await startCluster();
  const database = openDatabase(cluster.url, { onIdleError: () => {}, poolSize: 2 });
  await database.query('create table grown (one int)');
  await database.query('insert into grown values (1)');
  const all = 'select * from grown';
  expect(await database.query(all)).toEqual([{ one: 1 }]);
  const owner = new pg.Client({ connectionString: cluster.url });
  await owner.connect();
  await owner.query('alter table grown add column two int default 2').finally(() => owner.end());
  expect(await database.query(all)).toEqual([{ one: 1, two: 2 }]);
  await database.close();
});

test('a migration that waits for a backup lets requests through, and is made afterwards', async () => {
  const cluster = await startCluster();
  await migrate(cluster.url, migrations);
  const directory = await mkdtemp(join(tmpdir(), 'cypher-migrations-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  await cp(migrations, directory, { recursive: true });
  await writeFile(join(directory, '9999_more.sql'), 'alter table accounts add column more text;');
  const reader = new pg.Client({ connectionString: cluster.url });
  await reader.connect();
  await reader.query('begin; select from accounts');
  let answered = 0;
  const waiting = `select from pg_locks where not granted and relation = 'accounts'::regclass`;
  const migrating = migrate(cluster.url, directory);
  await expect.poll(() => cluster.admin(waiting)).toHaveLength(1);
  const database = openDatabase(cluster.url, { onIdleError: () => {} });
  await expect
    .poll(async () => {
      answered += await database.query('select from accounts').then(
        () => 1,
        () => 0,
      );
      return answered;
    })
    .toBeGreaterThan(5);
  await reader.query('commit');
  await reader.end();
  expect(await migrating).toEqual(['9999_more']);
  await database.close();
});
