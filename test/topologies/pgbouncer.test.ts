/**
 * Instances behind a real PgBouncer in transaction mode, where each transaction of a connection may run in another session.
 * So nothing may rest on the session, and nothing may stay in it for the next one to find.
 */
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { openDatabase } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { apps } from '../support/apps.ts';
import { startCluster } from '../support/cluster.ts';
import { cypher } from '../support/cypher.ts';
import { createDatabase, createRedisDatabase, type TestDatabase } from '../support/databases.ts';
import { freePorts } from '../support/npm_run.ts';
import { asApp, createPerson, isAlive, tokensOfSomebody } from '../support/person.ts';
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { findPgBouncer } from '../support/programs.ts';
import { startProcess } from '../support/provider_process.ts';

const { spa, web } = apps;
const migrations = new URL('../../migrations', import.meta.url).pathname;

let created: TestDatabase;
let bouncer: PgBouncer;

async function begin(settings?: Record<string, string>): Promise<void> {
  created = await createDatabase();
  bouncer = await startPgBouncer(created.url, settings);
}

/** Rows, by a connection of its own that does not go through PgBouncer. */
async function direct<Row extends object>(text: string, url = created.url): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return (await client.query<Row>(text).finally(() => client.end())).rows;
}

/** What a session that PgBouncer lends has kept of those who had it before. */
const kept = `select (select count(*)::int from pg_prepared_statements) as statements,
  (select count(*)::int from pg_listening_channels()) as channels,
  (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
  (select count(*)::int from pg_settings where source = 'session' and name like '%timeout%') as timeouts`;
const nothing = { statements: 0, channels: 0, locks: 0, timeouts: 0 };

describe.skipIf(!findPgBouncer())('behind PgBouncer in transaction mode', () => {
  afterEach(async () => {
    await bouncer.stop();
    await created.drop();
  });

  describe('with several sessions', () => {
    beforeEach(() => begin());

    test('two instances: sign-up, login, refresh, revocation and a removed client, also after a restart', async () => {
      const port = await freePorts();
      const url = `http://localhost:${port}`;
      const shared = { ISSUER: url, DATABASE_URL: bouncer.url, REDIS_URL: await createRedisDatabase() };
      const one = await startProcess({ ...shared, PORT: String(port) });
      const two = await startProcess(shared);
      await Promise.all([one.up(), two.up()]);
      const at = { url, clock: { now: Date.now, advance: () => {} } };

      const ada = createPerson(at, 'ada');
      let tokens = await ada.tokensFor(spa);
      for (const on of [two, one, two]) {
        const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
        const refreshed = await asApp(on, spa, form);
        expect([refreshed.status, refreshed.body.error]).toEqual([200, undefined]);
        tokens = refreshed.body;
        expect([await isAlive(one, tokens.access_token), await isAlive(two, tokens.access_token)]).toEqual([
          true,
          true,
        ]);
      }
      expect((await asApp(one, spa, { token: tokens.refresh_token }, '/token/revocation')).status).toBe(200);
      expect(await isAlive(two, tokens.access_token)).toBe(false);

      const storage = { databaseUrl: bouncer.url };
      const add = ['client', 'add', 'leaving', '--grant-type', 'client_credentials', '--json'];
      const leaving = JSON.parse(await cypher(storage, add));
      const app = { ...leaving, redirect_uri: '' };
      const credentials = async (on: { url: string }) =>
        (await asApp(on, app, { grant_type: 'client_credentials' })).status;
      expect([await credentials(one), await credentials(two)]).toEqual([200, 200]);
      await cypher(storage, ['client', 'remove', 'leaving']);
      expect([await credentials(one), await credentials(two)]).toEqual([401, 401]);

      expect(await two.signal('SIGTERM')).toBe(0);
      const again = await startProcess(shared);
      await again.up();
      const later = await ada.tokensFor(web);
      const form = { grant_type: 'refresh_token', refresh_token: later.refresh_token };
      expect((await asApp(again, web, form)).status).toBe(200);
    });

    test('five instances start at once on an empty database', async () => {
      const port = await freePorts();
      const shared = {
        ISSUER: `http://localhost:${port}`,
        DATABASE_URL: bouncer.url,
        REDIS_URL: await createRedisDatabase(),
      };
      const five = await Promise.all(Array.from({ length: 5 }, () => startProcess(shared)));
      await Promise.all(five.map((instance) => instance.up()));
      const published = await Promise.all(five.map(async ({ url }) => (await fetch(`${url}/jwks`)).text()));
      expect(new Set(published).size).toBe(1);
      const names = await direct<{ name: string }>('select name from migrations order by id');
      expect(new Set(names.map(({ name }) => name)).size).toBe(names.length);
      const locks = `select from pg_locks where locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())`;
      expect(await direct(locks)).toEqual([]);
    });
  });

  describe('with one session for all', () => {
    beforeEach(() => begin({ default_pool_size: '1' }));

    test('nothing stays in the session: no statement, channel, lock or time limit', async () => {
      await migrate(bouncer.url, migrations);
      const database = openDatabase(bouncer.url, { onIdleError: () => {} });
      const watch = database.watch('cypher_clients', () => {});
      await database.query('select count(*) from accounts where id = $1', ['nobody']);
      await database.transaction(async (query) => {
        await query('select pg_advisory_xact_lock(7)');
        await query('select count(*) from accounts where id = $1', ['nobody']);
      });
      await database.longTransaction((query) => query('select 1'));
      await database.maintain('vacuum (skip_locked) spent');
      expect(await direct(kept, bouncer.url)).toEqual([nothing]);
      expect(watch.reliable()).toBe(false);
      await database.close();
    });
  });

  describe('with one session that is taken', () => {
    beforeEach(() => begin({ default_pool_size: '1' }));

    test('a statement that waits for the session when the process gives up is never run', async () => {
      await direct('create table noted (at int)');
      const timeouts = {
        goneMs: 30_000,
        statementMs: 1000,
        requestMs: { app: 30_000, person: 30_000 },
      };
      const database = openDatabase(bouncer.url, { onIdleError: () => {}, timeouts });
      const note = 'insert into noted values ($1)';
      await expect.poll(() => database.query(note, [1]).catch(() => undefined)).toEqual([]);
      const holder = new pg.Client({ connectionString: bouncer.url });
      await holder.connect();
      await holder.query('begin');
      await expect(database.query(note, [2])).rejects.toMatchObject({ code: 'temporarily_unavailable' });
      await holder.query('commit');
      await holder.end();
      await expect.poll(() => database.query(note, [3]).catch(() => undefined)).toEqual([]);
      expect(await direct('select distinct at from noted order by at')).toEqual([{ at: 1 }, { at: 3 }]);
      await database.close();
    });
  });

  describe('with statements that wait for a lock', () => {
    beforeEach(() => begin());

    test('PostgreSQL gives up before the process does, in a transaction and without one', async () => {
      await migrate(bouncer.url, migrations);
      const database = openDatabase(bouncer.url, { onIdleError: () => {} });
      const holder = new pg.Client({ connectionString: created.url });
      await holder.connect();
      await holder.query('begin; lock table restore_guard');
      const change = 'update restore_guard set epoch = epoch + $1 where id = 1 returning epoch';
      const refused = { code: 'temporarily_unavailable' };
      await expect(database.query(change, [1])).rejects.toMatchObject(refused);
      await expect(database.transaction((query) => query(change, [1]))).rejects.toMatchObject(refused);
      const waiting = `select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
      await expect.poll(() => direct(waiting)).toEqual([]);
      await holder.query('rollback');
      await holder.end();
      // Neither change was made later, and the next one is made once.
      await expect.poll(() => database.query(change, [1]).catch(() => undefined)).toEqual([{ epoch: '1' }]);
      await database.close();
    });
  });
});

test.skipIf(!findPgBouncer())(
  'PostgreSQL behind PgBouncer stops and comes back: 503 meanwhile, and nobody is signed out',
  async () => {
    const cluster = await startCluster();
    const pooler = await startPgBouncer(cluster.url, { server_login_retry: '1' });
    onTestFinished(pooler.stop);
    const redisUrl = await createRedisDatabase();
    const instance = await startProcess({ DATABASE_URL: pooler.url, REDIS_URL: redisUrl });
    await instance.up();
    let { refresh_token: token } = await tokensOfSomebody(instance.url, spa);
    const refresh = async () => {
      const answer = await asApp(instance, spa, { grant_type: 'refresh_token', refresh_token: token });
      if (answer.status === 200) token = answer.body.refresh_token;
      return [answer.status, answer.body.error];
    };
    await cluster.stop();
    expect(await refresh()).toEqual([503, 'temporarily_unavailable']);
    await cluster.start();
    // Nothing but an outage until then: an answer that says "reuse" would end the family.
    let last = await refresh();
    await expect
      .poll(async () => {
        if (last[0] === 503) last = await refresh();
        return last;
      })
      .toEqual([200, undefined]);
    expect(await refresh()).toEqual([200, undefined]);
  },
);
