/** What one person, one app or one address can take of what everybody shares. */
import pg from 'pg';
import request from 'supertest';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { apps } from '../support/apps.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { asApp, createPerson } from '../support/person.ts';
import { startReceiver } from '../support/receiver.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, signOut, signUp } from '../support/visits.ts';

const { web, api } = apps;
let created: Awaited<ReturnType<typeof createDatabase>>;
let server: TestServer;
beforeAll(async () => {
  created = await createDatabase();
  const storage = { databaseUrl: created.url, redisUrl: await createRedisDatabase() };
  server = await startServer({ clients: Object.values(apps), storage });
});
afterAll(async () => {
  await server.close();
  await created.drop();
});

test('Load: parallel codes of one person hold few connections; the rest are refused at once and count as nothing', async () => {
  const bob = await signUp(server, 'bob');
  const others = await createPerson(server, 'carol').tokensFor(web);
  const { person, uid } = await afterPassword(server, bob);
  const code = bob.code();
  const lock = new pg.Client({ connectionString: created.url });
  await lock.connect();
  await lock.query('begin');
  // As if an attempt of this person's took long: the ones after it wait for what it holds.
  await lock.query("select from accounts where username_key = 'bob' for update");
  await lock.query('lock table login_failures in share mode');
  const sent = Array.from({ length: 60 }, () =>
    person.step(uid, 'totp/verify', { code }).then((answer) => answer),
  );
  const answered: number[] = [];
  for (const each of sent) void each.then(({ status }) => answered.push(status));
  await vi.waitFor(() => expect(answered.filter((status) => status === 429).length).toBe(57), 20_000);
  const { total, idle, waiting } = server.database.pool();
  expect([total - idle <= 4, waiting]).toEqual([true, 0]);
  const asked = await asApp(server, api, { token: others.access_token }, '/token/introspection');
  expect([asked.status, asked.body.active]).toEqual([200, true]);
  expect((await request(server.url).get('/health/ready')).status).toBe(200);
  await lock.query('rollback');
  await lock.end();
  const answers = await Promise.all(sent);
  const refused = answers.filter(({ status }) => status === 429);
  for (const { body, headers } of refused)
    expect([body.error, headers['retry-after']]).toEqual(['too_many_at_once', '1']);
  // What was refused was not counted: the person goes on.
  const next = await afterPassword(server, bob);
  expect((await next.person.step(next.uid, 'totp/verify', { code: bob.code() })).status).toBe(200);
});

test('Load: a person whose 200 apps do not answer delays no other app’s notice of a sign-out', async () => {
  const [slow, quick] = [await startReceiver(), await startReceiver()];
  const silent = Array.from({ length: 200 }, (_, index) => ({
    ...apps.intranet,
    client_id: `silent-${index}`,
    backchannel_logout_uri: `${slow.url}/${index}`,
  }));
  const prompt = { ...apps.intranet, client_id: 'prompt', backchannel_logout_uri: `${quick.url}/logout` };
  const here = await startServer({ clients: [...silent, prompt] });
  slow.answers('nothing');
  try {
    const [mallory, ada] = [createPerson(here, 'mallory'), createPerson(here, 'ada')];
    await mallory.codeFor(silent[0] as (typeof silent)[0]);
    await ada.codeFor(prompt);
    // What 200 sign-ins at apps leave in the session.
    await here.database.query(
      `update sessions set payload = payload || jsonb_build_object('authorizations',
         (select jsonb_object_agg('silent-' || n, jsonb_build_object('sid', 'sid-' || n)) from generate_series(0, 199) n))
       where account_id = (select id::text from accounts where username = 'mallory')`,
    );
    await signOut(mallory);
    await vi.waitFor(() => expect(slow.received.length).toBeGreaterThanOrEqual(10), 20_000);
    // None has an answer yet: so many places are taken.
    const underWay = await here.database.query(
      "select from deliveries where attempts > 0 and answer is null and client_id like 'silent-%'",
    );
    expect(underWay).toHaveLength(10);
    await signOut(ada);
    await vi.waitFor(() => expect(quick.received).toHaveLength(1), { timeout: 20_000, interval: 20 });
  } finally {
    await here.close();
    await Promise.all([slow.close(), quick.close()]);
  }
});
