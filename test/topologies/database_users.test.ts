/** Who owns the tables and who runs the servers: a user with few privileges, a schema of its own, a password that changes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { runCypher } from '../support/cypher.ts';
import { createRedisDatabase } from '../support/databases.ts';
import { asApp, tokensOfSomebody } from '../support/person.ts';
import { startProcess } from '../support/provider_process.ts';
import { kek } from '../support/server.ts';

const { spa } = apps;
const key = { KEY_ENCRYPTION_KEY: kek.toString('base64url') };

async function asUser(url: string, text: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client
    .query(text)
    .then(
      ({ rows }) => rows,
      ({ code }) => code,
    )
    .finally(() => client.end());
}

/** The owner has a schema of its own, and another user runs the servers. */
async function prepare(cluster: Cluster) {
  await cluster.admin(`create role servers login password 'first'`);
  await cluster.admin(
    `create schema identity authorization cypher;
     alter role cypher in database cypher set search_path = identity;
     alter role servers in database cypher set search_path = identity;
     revoke all on schema public from public`,
  );
  return { owner: cluster.url, servers: cluster.urlOf({ username: 'servers', password: 'first' }) };
}

test('servers run as a user who owns nothing, in a schema of its own, once `npx cypher migrate` has run', async () => {
  const cluster = await startCluster();
  const { owner, servers } = await prepare(cluster);
  const shared = { DATABASE_URL: servers, REDIS_URL: await createRedisDatabase() };

  const tooEarly = await startProcess(shared);
  expect(await tooEarly.ended).toBe(78);
  expect(tooEarly.output()).toMatch(
    /^Cypher cannot start: migrations have not run: 0001_keys.*npx cypher migrate/,
  );

  const migrated = await runCypher(['migrate', '--grant-to', 'servers'], { DATABASE_URL: owner, ...key });
  expect([migrated.code, migrated.stderr]).toEqual([0, '']);
  expect(migrated.stdout).toContain('0001_keys');
  const again = await runCypher(['migrate'], { DATABASE_URL: owner, ...key });
  expect([again.code, again.stdout]).toEqual([0, 'All migrations have run.\n']);
  const elsewhere = `select tablename from pg_tables where schemaname = 'public'`;
  expect(await cluster.admin(elsewhere, 'cypher')).toEqual([]);

  const instance = await startProcess(shared);
  await instance.up();
  const { refresh_token } = await tokensOfSomebody(instance.url, spa);
  expect((await asApp(instance, spa, { grant_type: 'refresh_token', refresh_token })).status).toBe(200);

  const insufficientPrivilege = '42501';
  for (const refused of [
    'create table identity.other (id int)',
    'drop table accounts',
    'alter table audit_log disable trigger all',
    `update audit_log set event = 'other'`,
    'truncate audit_log',
    `insert into migrations (name, run_on) values ('9999_other', now())`,
  ]) {
    expect([refused, await asUser(servers, refused)]).toEqual([refused, insufficientPrivilege]);
  }
  // By a trigger, on each of the log's partitions too, and whatever temporary tables are called.
  const refusedByTrigger = 'P0001';
  const [month] = (await asUser(
    servers,
    `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'audit_log'::regclass order by name limit 1`,
  )) as { name: string }[];
  for (const refused of [
    'delete from audit_log',
    `delete from ${month?.name}`,
    `update ${month?.name} set event = 'other'`,
    'create temp table audit_retention as select -1 as days, null::int as next_days, null::timestamptz as next_at; delete from audit_log',
  ])
    expect([refused, await asUser(servers, refused)]).toEqual([refused, refusedByTrigger]);
  // Months are begun by the server's user, with the rights of the owner.
  const next = `audit_log_${new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() + 1, 1)).toISOString().slice(0, 7).replace('-', '_')}`;
  await cluster.admin(`drop table identity.${next}`, 'cypher');
  expect(await asUser(servers, 'select begin_audit_month()')).toHaveLength(1);
  expect(await asUser(servers, `select from ${next}`)).toEqual([]);
  expect(await asUser(servers, 'vacuum sessions')).toEqual([]);
  const vacuumed = `select from pg_stat_user_tables where relname = 'sessions' and vacuum_count > 0`;
  await expect.poll(() => cluster.admin(vacuumed, 'cypher')).toHaveLength(1);
  const doctor = await runCypher(['doctor', '--json'], { ...shared, ...key, ISSUER: instance.url });
  const findings = JSON.parse(doctor.stdout) as { found: string }[];
  expect(findings.map(({ found }) => found)).toContain('this user has the privileges it needs');
});

test('the table of migrations that an earlier version made in the schema public is taken along', async () => {
  const cluster = await startCluster();
  const { owner } = await prepare(cluster);
  const migrate = () => runCypher(['migrate'], { DATABASE_URL: owner, ...key });
  expect((await migrate()).code).toBe(0);
  await cluster.admin(
    'alter table identity.migrations set schema public; drop table identity.keys',
    'cypher',
  );
  await cluster.admin(`delete from public.migrations where name = '0001_keys'`, 'cypher');
  const { code, stdout, stderr } = await migrate();
  expect([code, stdout, stderr]).toEqual([0, 'These migrations were run: 0001_keys.\n', '']);
});

test('a password that was changed in DATABASE_URL_FILE is used for new connections, without a restart', async () => {
  const cluster = await startCluster();
  const directory = await mkdtemp(join(tmpdir(), 'cypher-secrets-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, 'database_url');
  await writeFile(file, cluster.url);
  const instance = await startProcess({ DATABASE_URL_FILE: file, REDIS_URL: await createRedisDatabase() });
  await instance.up();
  let { refresh_token: token } = await tokensOfSomebody(instance.url, spa);
  const refresh = async () => {
    const answer = await asApp(instance, spa, { grant_type: 'refresh_token', refresh_token: token });
    if (answer.status === 200) token = answer.body.refresh_token;
    return answer.status;
  };
  await cluster.admin(`alter role cypher password 'second'`);
  await cluster.admin(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'cypher'`);
  // The wrong password is an outage, not a fault of the server.
  await expect.poll(refresh).toBe(503);
  expect(instance.output()).not.toContain(new URL(cluster.url).password);
  await writeFile(file, cluster.urlOf({ password: 'second' }));
  await expect.poll(refresh).toBe(200);
});

test('a start that fails names the host and the reason', async () => {
  const cluster = await startCluster();
  const secret = 'not-the-password';
  const nowhere = `postgres://cypher:${secret}@127.0.0.1:1/cypher`;
  const cases: [string, RegExp][] = [
    [
      cluster.urlOf({ password: secret }),
      /127\.0\.0\.1:\d+: password authentication failed for user "cypher"$/,
    ],
    [cluster.urlOf({ database: 'missing' }), /database "missing" does not exist$/],
    [nowhere, /127\.0\.0\.1:1: connect ECONNREFUSED/],
    [nowhere.replace(':1/', ':1,127.0.0.1:2/'), /127\.0\.0\.1:1: .*; 127\.0\.0\.1:2: /],
  ];
  for (const [url, reason] of cases) {
    const instance = await startProcess({ DATABASE_URL: url });
    expect(await instance.ended).toBe(78);
    const said = instance.output().trim();
    expect(said).toMatch(reason);
    expect(said).toMatch(/^Cypher cannot start: DATABASE_URL cannot be used: [^\n]*$/);
    expect(said).not.toContain(secret);
    const command = await runCypher(['client', 'list'], { DATABASE_URL: url, ...key });
    expect([command.code, command.stderr.trim()]).toEqual([1, expect.stringMatching(reason)]);
  }
});
