/** What one person, one app or one address can take of what everybody shares. */
import pg from 'pg';
import request from 'supertest';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openAccount, postForm, prove } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { asApp, createPerson, type Person } from '../support/person.ts';
import { startReceiver } from '../support/receiver.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, begin, signOut, signUp } from '../support/visits.ts';

const { web } = apps;
const till = {
  client_id: 'till',
  client_secret: 'a-secret-of-the-till-0123456789abcdef-0123',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: ['urn:openid:params:grant-type:ciba'],
  backchannel_token_delivery_mode: 'poll',
};
const centre = { ...till, client_id: 'centre' };

let created: Awaited<ReturnType<typeof createDatabase>>;
let server: TestServer;
beforeAll(async () => {
  created = await createDatabase();
  const storage = { databaseUrl: created.url, redisUrl: await createRedisDatabase() };
  const clients = [...Object.values(apps), till, centre];
  server = await startServer({ clients, storage, settings: { CIBA: 'on', TRUSTED_PROXIES: '127.0.0.1' } });
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
  const asked = await request(server.url).get('/me').auth(others.access_token, { type: 'bearer' });
  expect(asked.status).toBe(200);
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

test('Lockout: forty wrong codes at once by whoever has the password keep the owner from nothing, in a known browser and in a new one', async () => {
  const kit = createPerson(server, 'kit');
  await openAccount(kit);
  const { person: thief, uid } = await afterPassword(server, kit);
  thief.agent.set('X-Forwarded-For', '198.51.100.7');
  const guess = () => thief.step(uid, 'totp/verify', { code: '000000' }).then(({ body }) => body.error);
  expect(await guess()).toBe('invalid_code');
  const lock = new pg.Client({ connectionString: created.url });
  await lock.connect();
  await lock.query('begin');
  // As if the thief's attempts took long.
  await lock.query('select from login_failures where failures > 0 for update');
  const refused: string[] = [];
  const sent = Array.from({ length: 40 }, () => guess().then((error) => refused.push(error)));
  await vi.waitFor(() => expect(refused.length).toBe(37), 20_000);
  expect((await prove(kit, 'password')).status).toBe(200);
  server.clock.advance(30);
  const own = await begin(kit, apps.intranet, { prompt: 'login' });
  expect((await kit.provePassword(own)).status).toBe(200);
  expect((await kit.step(own, 'totp/verify', { code: kit.code() })).status).toBe(200);
  await lock.query('rollback');
  await lock.end();
  await Promise.all(sent);
  while ((await guess()) !== 'too_many_requests');

  // Now the thief is blocked. What is refused takes no place from others whom the account does not know.
  let stop = false;
  const errors = new Set<string>();
  const flood = Array.from({ length: 40 }, async () => {
    while (!stop) errors.add(await guess());
  });
  try {
    for (let n = 0; n < 5; n++) {
      const { person, uid: at } = await afterPassword(server, kit);
      person.agent.set('X-Forwarded-For', `203.0.113.${n}`);
      server.clock.advance(n === 0 ? 30 : 0);
      const code = n === 0 ? kit.code() : '000000';
      const { status, body } = await person.step(at, 'totp/verify', { code });
      expect([n, status, body.error]).toEqual([n, n === 0 ? 200 : 401, n === 0 ? undefined : 'invalid_code']);
    }
  } finally {
    stop = true;
    await Promise.all(flood);
  }
  expect(errors).toContain('too_many_requests');
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

test('Load: an app leaves at most five requests with a person, however many it sends at once; the next is 429 and leaves nothing', async () => {
  const [ida, jo] = [createPerson(server, 'ida'), createPerson(server, 'jo')];
  for (const person of [ida, jo]) await openAccount(person);
  const ask = (person: Person, app = till) =>
    asApp(server, app, { scope: 'openid', login_hint: person.username }, '/backchannel');
  const asked = await Promise.all(Array.from({ length: 12 }, () => ask(ida)));
  const [refused] = asked.filter(({ status }) => status !== 200);
  expect([refused?.status, refused?.body.error]).toEqual([429, 'too_many_requests']);
  expect(Number(refused?.headers['retry-after'])).toBeGreaterThan(0);
  let taken = 12 - asked.filter(({ status }) => status !== 200).length;
  while ((await ask(ida)).status === 200) taken += 1;
  expect(taken).toBe(5);
  const page = (await ida.agent.get('/account/requests')).text;
  const waiting = [...page.matchAll(/name="request" value="([^"]+)"/g)].map(([, id]) => String(id));
  expect(waiting).toHaveLength(5);

  // Neither another person nor another app is affected, and an answer makes room.
  expect((await ask(jo)).status).toBe(200);
  expect((await ask(ida, centre)).status).toBe(200);
  const denial = { request: waiting[0] ?? '', decision: 'deny', code: '' };
  expect((await postForm(ida, 'requests', denial)).status).toBe(303);
  expect((await ask(ida)).status).toBe(200);
});

test('Load: what is begun counts as its network’s, and each network keeps its share of what there is room for', async () => {
  const here = await startServer({
    clients: [apps.web],
    beside: server,
    settings: { TRUSTED_PROXIES: '127.0.0.1' },
  });
  try {
    const parameters = {
      client_id: web.client_id,
      redirect_uri: web.redirect_uri,
      response_type: 'code',
      scope: 'openid',
      code_challenge: 'A'.repeat(43),
      code_challenge_method: 'S256',
    };
    const from = (address: string) => ({ 'X-Forwarded-For': address });
    for (const address of ['2001:db8:7:1::1', '2001:db8:7:2::9', '203.0.113.7']) {
      await request(here.url).get('/auth').query(parameters).set(from(address)).expect(303);
      await request(here.url)
        .post('/request')
        .type('form')
        .auth(web.client_id, web.client_secret)
        .send(parameters)
        .set(from(address))
        .expect(201);
    }
    const held = await here.database.query(
      `select split_part(key, ':', 1) as model, owner, count(*)::int from ephemeral
       where owner like '2001:db8:7%' or owner = '203.0.113.7' group by 1, 2 order by 1, 2`,
    );
    expect(held).toEqual(
      ['Interaction', 'PushedAuthorizationRequest'].flatMap((model) => [
        { model, owner: '2001:db8:7/48', count: 2 },
        { model, owner: '203.0.113.7', count: 1 },
      ]),
    );
  } finally {
    await here.close();
  }
});

test('Load: one bound on what a request says, by GET, by POST, pushed, from a device and by an app that asks from elsewhere', async () => {
  const large = {
    state: 's'.repeat(15 * 1024),
    claims: JSON.stringify({ id_token: { x: { value: 'x'.repeat(15 * 1024) } } }),
  };
  const basic = { scope: 'openid', ...large };
  const code = { response_type: 'code', redirect_uri: web.redirect_uri };
  const posts = await Promise.all([
    request(server.url)
      .post('/auth')
      .type('form')
      .send({ client_id: 'web', ...code, ...basic }),
    asApp(server, web, { ...code, ...basic }, '/request'),
    asApp(server, till, { login_hint: 'ada', ...basic }, '/backchannel'),
    asApp(server, till, basic, '/device/auth'),
  ]);
  expect(posts.map(({ status }) => status)).toEqual([413, 413, 413, 413]);
  expect(posts.slice(1).map(({ body }) => body.error)).toEqual(Array(3).fill('payload_too_large'));
  const fits = {
    client_id: web.client_id,
    ...code,
    scope: 'openid',
    code_challenge: 'A'.repeat(43),
    code_challenge_method: 'S256',
  };
  const pushed = await asApp(server, web, { ...fits, state: 's'.repeat(14 * 1024) }, '/request');
  expect(pushed.status).toBe(201);
});
