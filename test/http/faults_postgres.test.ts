/** PostgreSQL killed, hung, or with no connection to spare: 503 with a time to come back at, and it heals by itself. */
import pg from 'pg';
import request from 'supertest';
import { afterEach, describe, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { type BehindProxies, startBehindProxies, within } from '../support/behind_proxies.ts';
import { asApp, createPerson } from '../support/person.ts';
import { codeAt, signUp, visit } from '../support/visits.ts';

const { spa, api } = apps;
/** The guarantee says 1 s for a database that is gone; the rest is for a busy machine. */
const bounded = 1300;
/** And 5 s for a person, who waits longest, where the database is there but slow. */
const patient = 5500;

let at: BehindProxies;
afterEach(() => at.close());

const refresh = (refresh_token: string) =>
  asApp(at.server, spa, { grant_type: 'refresh_token', refresh_token });

function expectUnavailable(answer: request.Response): void {
  expect.soft([answer.status, answer.body.error]).toEqual([503, 'temporarily_unavailable']);
  expect.soft(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  expect.soft(answer.text).not.toMatch(/ECONN|timeout|postgres|pool/i);
}

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('there is no such request');
  return value;
}

/** Something of every kind that needs PostgreSQL, made ready so that nothing but the database is missing. */
async function prepare() {
  at = await startBehindProxies({ clients: Object.values(apps) });
  const { server } = at;
  const ada = await signUp(server, 'ada');
  const tokens = await createPerson(server, 'bob').tokensFor(spa);
  const [beforeKe1, beforeKe3] = [await visit(server, 'ada', ada), await visit(server, 'ada', ada)];
  const beforeCode = await visit(server, 'ada', ada);
  expect((await beforeCode.person.provePassword(beforeCode.uid)).status).toBe(200);
  const { ke3 } = await beforeKe3.person.loginInit(beforeKe3.uid);
  server.clock.advance(30);
  const code = codeAt(server, ada);
  const form = { token: tokens.access_token };
  const needing: Record<string, () => PromiseLike<request.Response>> = {
    introspection: () => asApp(server, api, form, '/token/introspection'),
    refresh: () => refresh(tokens.refresh_token),
    userinfo: () => request(server.url).get('/me').auth(tokens.access_token, { type: 'bearer' }),
    'login/init': async () => (await beforeKe1.person.loginInit(beforeKe1.uid)).answer,
    'login/finish': () => beforeKe3.person.step(beforeKe3.uid, 'login/finish', { ke3 }),
    'totp/verify': () => beforeCode.person.step(beforeCode.uid, 'totp/verify', { code }),
    revocation: () => asApp(server, spa, form, '/token/revocation'),
  };
  return needing;
}

/** Needs no database: discovery, keys, the process itself. */
async function expectStandingAnswers(): Promise<void> {
  for (const path of [
    '/.well-known/openid-configuration',
    '/jwks',
    '/.well-known/paseto-keys',
    '/health/live',
  ]) {
    const { status } = await within(bounded, request(at.server.url).get(path));
    expect.soft([path, status]).toEqual([path, 200]);
  }
}

describe.each([
  ['killed', () => at.postgres.cut()],
  ['hung', async () => at.postgres.hang()],
])('Faults: PostgreSQL %s', (fault, inject) => {
  test('503 with Retry-After in under a second; discovery and JWKS answer; all goes on within 2 s of its return', async () => {
    const needing = await prepare();
    await inject();
    for (const [name, send] of Object.entries(needing)) {
      const answer = await within(bounded, send());
      expect.soft([name, answer.status]).toEqual([name, 503]);
      expectUnavailable(answer);
    }
    await expectStandingAnswers();
    const ready = await within(bounded, request(at.server.url).get('/health/ready'));
    expect([ready.status, ready.body.database]).toEqual([503, 'down']);
    const metrics = () => within(bounded, at.server.metrics.registry.metrics());
    const said = await metrics();
    expect(said).toContain('cypher_database_breaker_open');
    expect(said).not.toMatch(/^cypher_database_role\{/m);
    if (fault === 'hung') expect(said).toContain('cypher_database_breaker_open 1');

    await at.postgres.restore();
    await within(
      2000,
      expect.poll(async () => (await request(at.server.url).get('/health/ready')).status).toBe(200),
    );
    expect(await metrics()).toContain('cypher_database_role{role="primary"} 1');
    // What was refused is not used up, but for KE3, which was taken before the database could be asked.
    for (const [name, send] of Object.entries(needing)) {
      const answer = await within(bounded, send());
      expect.soft([name, answer.status]).toEqual([name, name === 'login/finish' ? expect.any(Number) : 200]);
    }
  });
});

test('Faults: pool exhausted: who comes meanwhile is served once there is a connection', async () => {
  const needing = await prepare();
  const { database } = at.server;
  const holders = Array.from({ length: 25 }, () =>
    database.transaction(async (query) => void (await query('select pg_sleep(0.8)'))),
  );
  await expect.poll(() => database.pool().waiting).toBeGreaterThan(0);
  const answers = ['introspection', 'refresh', 'login/init', 'userinfo'].map((name) =>
    must(needing[name])().then((answer) => [name, answer.status]),
  );
  await expectStandingAnswers();
  expect(database.pool().idle).toBe(0);
  for (const answer of await Promise.all(answers)) expect(answer).toEqual([answer[0], 200]);
  await Promise.all(holders);
});

test('Faults: a database that is slow but there: an app waits for it, and is answered', async () => {
  const needing = await prepare();
  const waiting: PromiseLike<request.Response>[] = [];
  const begun = performance.now();
  await at.other.database.transaction(async (query) => {
    await query('select from refresh_families for update');
    waiting.push(
      ...[must(needing.refresh)(), must(needing.refresh)()].map((sent) => sent.then((answer) => answer)),
    );
    // Longer than a database that is gone is waited for.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await expectStandingAnswers();
    expect((await within(bounded, must(needing.introspection)())).status).toBe(200);
  });
  for (const answer of await Promise.all(waiting))
    expect([answer.status, answer.body.error]).toEqual([200, undefined]);
  expect(performance.now() - begun).toBeGreaterThan(1500);
});

test('Faults: disk full: what would write is 503 and uses nothing up; what reads goes on, and all does once there is room', async () => {
  const needing = await prepare();
  const { database } = at.other;
  const tables = [
    'refresh_families',
    'revocations',
    'login_failures',
    'accounts',
    'sessions',
    'records',
    'spent',
  ];
  await database.query(
    `create function be_full() returns trigger language plpgsql as
     $$ begin raise exception 'no space left on device' using errcode = 'disk_full'; end $$`,
  );
  for (const table of tables)
    await database.query(
      `create trigger full_disk before insert or update on ${table} execute function be_full()`,
    );
  for (const name of ['refresh', 'login/init', 'login/finish', 'totp/verify', 'revocation'])
    expectUnavailable(await within(bounded, must(needing[name])()));
  for (const name of ['introspection', 'userinfo'])
    expect((await within(bounded, must(needing[name])())).status).toBe(200);
  for (const table of tables) await database.query(`drop trigger full_disk on ${table}`);
  for (const [name, send] of Object.entries(needing)) {
    // KE3 was taken before the rest of it was written.
    if (name === 'login/finish') continue;
    expect.soft([name, (await within(bounded, send())).status]).toEqual([name, 200]);
  }
});

test('Faults: a table locked for seconds: 503 in time, no pile of abandoned statements, and recovery', async () => {
  const needing = await prepare();
  const admin = new pg.Client({ connectionString: at.direct.databaseUrl });
  await admin.connect();
  const connections = async (): Promise<number> =>
    (
      await admin.query<{ n: number }>(
        'select count(*)::int n from pg_stat_activity where datname = current_database()',
      )
    ).rows[0]?.n ?? 0;
  const usual = await connections();
  let most = 0;
  try {
    await admin.query('begin; lock table refresh_families in access exclusive mode');
    for (const until = performance.now() + 4000; performance.now() < until; ) {
      const answers = await Promise.all(
        Array.from({ length: 100 }, () => within(patient, must(needing.refresh)())),
      );
      for (const answer of answers) expectUnavailable(answer);
      await expectStandingAnswers();
      most = Math.max(most, await connections());
    }
  } finally {
    await admin.query('commit');
    await admin.end();
  }
  // The whole pools and this test, not one for every request that gave up.
  expect(most).toBeLessThanOrEqual(usual + 50);
  const works = async () => (await must(needing.refresh)()).status;
  await within(2000, expect.poll(works).toBe(200));
});
