/**
 * Device flow (RFC 8628): what the device asks and polls, what the person is shown and decides, in which a code is good
 * once, for ten minutes, and hard to guess.
 */
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose';
import request from 'supertest';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { apps } from '../support/apps.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { dumpOfRedis } from '../support/dump.ts';
import { asApp, createPerson, interactionOf, isAlive, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const grant_type = 'urn:ietf:params:oauth:grant-type:device_code';
const tv = {
  client_id: 'tv',
  client_name: 'The television',
  token_endpoint_auth_method: 'none',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: [grant_type, 'refresh_token'],
};
const house = { ...tv, client_id: 'house-tv', first_party: true };
/** One that gets no refresh tokens. */
const brief = { ...house, client_id: 'brief-tv', grant_types: [grant_type] };
const { api, spa } = apps;
let server: TestServer;
let other: TestServer;
let redisUrl: string;
let drop: () => Promise<void>;
const clients = [tv, house, brief, api, spa];
beforeAll(async () => {
  const created = await createDatabase();
  drop = created.drop;
  redisUrl = await createRedisDatabase();
  server = await startServer({ clients, storage: { databaseUrl: created.url, redisUrl } });
  other = await startServer({ clients, beside: server });
});
afterEach(() => vi.useRealTimers());
afterAll(async () => {
  await other.close();
  await server.close();
  await drop();
});

let people = 0;
const somebody = (at = server) => createPerson(at, `person-${people++}`);
async function signedInAt(at: TestServer): Promise<Person> {
  const person = somebody(at);
  await person.tokensFor(spa);
  return person;
}

interface Asked {
  device_code: string;
  user_code: string;
  verification_uri: string;
  verification_uri_complete: string;
  expires_in: number;
  interval: number;
}
async function ask(app = tv, scope = 'openid profile'): Promise<Asked> {
  const { status, body } = await asApp(server, app, { scope }, '/device/auth');
  expect(status).toBe(200);
  return body;
}
const poll = (device_code: string, app = tv, at = server) => asApp(at, app, { grant_type, device_code });
const errorOf = async (device_code: string) => (await poll(device_code)).body.error;

/** The families that an app has of a person, each with how many refresh tokens it has had. */
const familiesOf = ({ username }: Person, { client_id }: typeof tv) =>
  server.database.query(
    `select coalesce(generation + 1, 0) as tokens from refresh_families
     where client_id = $2 and account_id = (select id from accounts where username = $1)`,
    [username, client_id],
  );

const xsrfIn = ({ text }: request.Response) => /name="xsrf" value="([^"]+)"/.exec(text)?.[1] ?? '';
async function enter({ agent }: Person, user_code: string, more: object = {}): Promise<request.Response> {
  const xsrf = xsrfIn(await agent.get('/device').accept('html'));
  return agent
    .post('/device')
    .accept('html')
    .type('form')
    .send({ xsrf, user_code, ...more });
}
/** Enters the code, says that the device is theirs, and signs in or up; returns where the browser is then. */
async function goOn(person: Person, { user_code }: Asked): Promise<URL> {
  const answer = await enter(person, user_code, { confirm: 'yes' });
  expect(answer.status).toBe(303);
  const uid = interactionOf(new URL(String(answer.headers.location), server.url)) ?? '';
  const page = await person.agent.get(`/interaction/${uid}`);
  if (!page.text.includes('current-password')) return new URL(`${server.url}/interaction/${uid}`);
  return person.totpSecret ? person.signIn(uid) : person.signUp(uid);
}
/** As far as the page that says so. */
async function connect(person: Person, asked: Asked): Promise<request.Response> {
  let at = await goOn(person, asked);
  for (let hop = 0; hop < 5; hop++) {
    const uid = interactionOf(at);
    if (uid) {
      const { body } = await person.step(uid, 'consent', { decision: 'allow' });
      at = new URL(body.location);
      continue;
    }
    const page = await person.agent.get(at.pathname).accept('html');
    if (page.status !== 303) return page;
    at = new URL(String(page.headers.location), server.url);
  }
  throw new Error('no end is reached');
}

test('a device is connected: code, confirmation, login with both factors, consent, tokens that say so, refresh', async () => {
  const asked = await ask();
  expect(asked).toMatchObject({
    user_code: expect.stringMatching(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/),
    verification_uri: `${server.url}/device`,
    verification_uri_complete: `${server.url}/device?user_code=${asked.user_code}`,
    expires_in: 600,
    interval: 5,
  });
  expect(await errorOf(asked.device_code)).toBe('authorization_pending');
  const ada = somebody();
  // As people type it.
  const found = await enter(ada, asked.user_code.toLowerCase().replace('-', ' '));
  expect(found.status).toBe(200);
  for (const text of ['The television', asked.user_code, 'See your username', '127.0.0.1', 'Go on only if'])
    expect(found.text).toContain(text);
  expect(found.headers['cache-control']).toContain('no-store');
  expect(found.headers['content-security-policy']).toContain("default-src 'none'");
  const page = await connect(ada, asked);
  expect(page.text).toContain('Your device is connected');
  const { status, body } = await poll(asked.device_code, tv, other);
  expect(status).toBe(200);
  expect(decodeJwt(body.id_token)).toMatchObject({
    aud: 'tv',
    acr: 'urn:cypher:acr:mfa',
    amr: ['pwd', 'otp', 'mfa'],
    auth_time: expect.any(Number),
  });
  const me = await request(server.url).get('/me').auth(body.access_token, { type: 'bearer' });
  expect(me.body.preferred_username).toBe(ada.username);
  const refreshed = await asApp(other, tv, {
    grant_type: 'refresh_token',
    refresh_token: body.refresh_token,
  });
  expect(refreshed.status).toBe(200);
  // Replayed after the retry's leeway: the family that began with the device code ends.
  server.clock.advance(60);
  await asApp(server, tv, { grant_type: 'refresh_token', refresh_token: body.refresh_token });
  const last = { grant_type: 'refresh_token', refresh_token: refreshed.body.refresh_token };
  expect((await asApp(server, tv, last)).body.error).toBe('invalid_grant');
});

test('who is signed in is asked no password, and an app of the house no consent; the question for the device stays', async () => {
  const bob = somebody();
  await bob.tokensFor(spa);
  const asked = await ask(house);
  expect((await enter(bob, asked.user_code)).text).toContain('Is this your device?');
  const done = await enter(bob, asked.user_code, { confirm: 'yes' });
  expect(done.text).toContain('Your device is connected');
  expect((await poll(asked.device_code, house)).status).toBe(200);
});

test('of parallel polls through two instances comes one family with one refresh token, and it lives; a later one ends it alone', async () => {
  const cleo = somebody();
  const elsewhere = await cleo.tokensFor(spa);
  const asked = await ask();
  await connect(cleo, asked);
  const polls = await Promise.all(
    Array.from({ length: 20 }, (_, index) => poll(asked.device_code, tv, index % 2 ? other : server)),
  );
  expect(polls.map(({ status }) => status)).toEqual(Array(20).fill(200));
  expect(new Set(polls.map(({ body }) => body.refresh_token)).size).toBe(1);
  expect(await familiesOf(cleo, tv)).toEqual([{ tokens: 1 }]);
  const tokens = polls[0]?.body;
  const refresh = (app: typeof tv | typeof spa, refresh_token: string) =>
    asApp(other, app, { grant_type: 'refresh_token', refresh_token });
  const next = await refresh(tv, tokens.refresh_token);
  expect(next.status).toBe(200);
  expect(await errorOf(asked.device_code)).toBe('invalid_grant');
  expect((await refresh(tv, next.body.refresh_token)).body.error).toBe('invalid_grant');
  expect((await refresh(spa, elsewhere.refresh_token)).status).toBe(200);
});

const isActive = async (token: string) => isAlive(other, token);
/** A device's code whose person has just said yes. */
async function confirmed(person: Person, app = house): Promise<string> {
  const { device_code, user_code } = await ask(app);
  expect((await enter(person, user_code, { confirm: 'yes' })).text).toContain('Your device is connected');
  return device_code;
}

test('a poll whose answer was lost is answered again, by the other instance too, while the first refresh token is unused', async () => {
  const finn = await signedInAt(server);
  const code = await confirmed(finn);
  const lost = await poll(code, house);
  server.clock.advance(25);
  const { status, body } = await poll(code, house, other);
  expect([status, body.refresh_token]).toEqual([200, lost.body.refresh_token]);
  expect(body.access_token).not.toBe(lost.body.access_token);
  expect(await familiesOf(finn, house)).toEqual([{ tokens: 1 }]);
  const refreshed = await asApp(other, house, {
    grant_type: 'refresh_token',
    refresh_token: body.refresh_token,
  });
  expect(refreshed.status).toBe(200);
  // Whoever still polls has not had the token that was used: somebody else has the code.
  expect((await poll(code, house)).body.error).toBe('invalid_grant');
  for (const { access_token } of [lost.body, body, refreshed.body])
    expect(await isActive(access_token)).toBe(false);
});

test('a repetition after half a minute is none: it is refused and ends the family', async () => {
  const greta = await signedInAt(server);
  const code = await confirmed(greta);
  const { access_token, refresh_token } = (await poll(code, house)).body;
  server.clock.advance(30);
  expect((await poll(code, house, other)).body.error).toBe('invalid_grant');
  expect(await isActive(access_token)).toBe(false);
  const refreshed = await asApp(server, house, { grant_type: 'refresh_token', refresh_token });
  expect(refreshed.body.error).toBe('invalid_grant');
});

test('an answer that is repeated is for the key of the first one, for a session that lives, and not after a revocation', async () => {
  const signedOut = await signedInAt(server);
  const code = await confirmed(signedOut);
  expect((await poll(code, house)).status).toBe(200);
  const xsrf = xsrfIn(await signedOut.agent.get('/session/end').accept('html'));
  await signedOut.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
  expect((await poll(code, house, other)).body.error).toBe('invalid_grant');

  const hanna = await signedInAt(server);
  const revoked = await confirmed(hanna);
  const { refresh_token: token } = (await poll(revoked, house)).body;
  await asApp(server, house, { token }, '/token/revocation');
  expect((await poll(revoked, house, other)).body.error).toBe('invalid_grant');

  await server.audit.flush();
  await other.audit.flush();
  const [repeated] = await server.database.query<{ times: number }>(
    "select count(*)::int as times from audit_log where event = 'poll.repeated'",
  );
  expect(repeated?.times).toBeGreaterThan(0);

  const bound = await confirmed(hanna);
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = await exportJWK(publicKey);
  const proof = await new SignJWT({ jti: randomUUID(), htm: 'POST', htu: `${server.url}/token` })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
    .setIssuedAt(Math.floor(Date.now() / 1000))
    .sign(privateKey);
  expect((await poll(bound, house)).status).toBe(200);
  const withAnother = await request(server.url)
    .post('/token')
    .set('dpop', proof)
    .type('form')
    .send({ client_id: house.client_id, grant_type, device_code: bound });
  expect(withAnother.body.error).toBe('invalid_grant');
  // That was somebody else, and what the device received is ended.
  expect((await poll(bound, house, other)).body.error).toBe('invalid_grant');
});

test('without refresh tokens a repetition is refused, for nobody knows whose it is; a late one ends the token', async () => {
  const ian = await signedInAt(server);
  const code = await confirmed(ian, brief);
  const polls = await Promise.all([server, other].map((at) => poll(code, brief, at)));
  expect(polls.map(({ status }) => status).sort()).toEqual([200, 400]);

  const late = await confirmed(ian, brief);
  const { access_token } = (await poll(late, brief)).body;
  server.clock.advance(30);
  expect((await poll(late, brief, other)).body.error).toBe('invalid_grant');
  expect(await isActive(access_token)).toBe(false);
});

test('who polls faster than told is told to slow down, on whichever instance; others are not', async () => {
  const [one, two] = [await ask(), await ask()];
  expect(await errorOf(one.device_code)).toBe('authorization_pending');
  expect((await poll(one.device_code, tv, other)).body.error).toBe('slow_down');
  expect(await errorOf(two.device_code)).toBe('authorization_pending');
  await new Promise((resolve) => setTimeout(resolve, 4100));
  expect(await errorOf(one.device_code)).toBe('authorization_pending');
  expect((await poll(one.device_code, house)).body.error).toBe('invalid_grant');
});

test('a refused device hears access_denied: at the first question and at the consent', async () => {
  const dan = somebody();
  const atOnce = await ask();
  const refused = await enter(dan, atOnce.user_code, { abort: 'yes' });
  expect(refused.text).toContain('was refused');
  for (const at of [server, other])
    expect((await poll(atOnce.device_code, tv, at)).body.error).toBe('access_denied');

  const later = await ask();
  const afterLogin = await goOn(dan, later);
  const consent = await dan.agent.get(afterLogin.pathname);
  const uid = interactionOf(new URL(String(consent.headers.location), server.url)) ?? '';
  const { body } = await dan.step(uid, 'consent', { decision: 'deny' });
  const page = await dan.agent.get(new URL(body.location).pathname).accept('html');
  expect(page.text).toContain('was refused');
  expect(await errorOf(later.device_code)).toBe('access_denied');
});

test('a user code is good once, for ten minutes; what is wrong with it is not told', async () => {
  const asked = await ask();
  const old = await ask();
  const browsers = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const { agent } = somebody();
      return { agent, xsrf: xsrfIn(await agent.get('/device').accept('html')) };
    }),
  );
  const form = { user_code: asked.user_code, confirm: 'yes' };
  const all = await Promise.all(
    browsers.map(({ agent, xsrf }) =>
      agent
        .post('/device')
        .accept('html')
        .type('form')
        .send({ ...form, xsrf }),
    ),
  );
  expect(all.filter(({ status }) => status === 303)).toHaveLength(1);
  expect(all.filter(({ status }) => status !== 303 && ![400, 409].includes(status))).toEqual([]);
  const tell = async (code: string) => {
    const { status, text } = await enter(somebody(), code);
    return [status, /role="alert">([^<]*)/.exec(text)?.[1]];
  };
  const wrong = [400, 'This code is wrong, was used before, or has expired.'];
  expect(await tell(asked.user_code)).toEqual(wrong);
  expect(await tell('BBBB-BBBB')).toEqual(wrong);
  // The library's own clock, too.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 601_000 });
  expect(await tell(old.user_code)).toEqual(wrong);
  expect(await errorOf(old.device_code)).toBe('expired_token');
  vi.useRealTimers();
});

test('a forged form decides nothing, and a dump of either database holds nothing that can be polled with', async () => {
  const asked = await ask();
  const gil = somebody();
  await enter(gil, asked.user_code);
  const forged = await gil.agent
    .post('/device')
    .accept('html')
    .type('form')
    .send({ xsrf: 'x'.repeat(48), user_code: asked.user_code, confirm: 'yes' });
  expect(forged.status).toBe(400);
  await goOn(gil, asked);
  const [{ hash } = { hash: '' }] = await server.database.query<{ hash: string }>(
    `select id_hash as hash from records where model = 'DeviceCode' and user_code = $1`,
    [asked.user_code.replace('-', '')],
  );
  const [{ text } = { text: '' }] = await server.database.query<{ text: string }>(
    `select string_agg(value, ' ') as text from ephemeral`,
  );
  expect(text).toContain(hash);
  expect(text).not.toContain(asked.device_code);
  expect(await errorOf(asked.device_code)).toBe('authorization_pending');
  const redis = await dumpOfRedis(redisUrl);
  expect(redis.includes('limit:poll:')).toBe(true);
  expect(redis.includes(asked.device_code)).toBe(false);
  expect((await poll(`#${hash}`)).body.error).toBe('invalid_grant');
});

test('Cache: guesses at user codes are limited, whatever is written to Redis: by address, from all strangers together, and by person, whom strangers keep from nothing', async () => {
  const settings = { LIMIT_ADDRESS_PER_MINUTE: '5', TRUSTED_PROXIES: '127.0.0.1' };
  const storage = await createDatabase();
  const redisUrl = await createRedisDatabase();
  const limited = await startServer({ clients, settings, storage: { databaseUrl: storage.url, redisUrl } });
  try {
    const guess = async (address: string, agent = request.agent(limited.url), user_code = 'BBBB-BBBB') => {
      const page = agent.get('/device').accept('html').set('x-forwarded-for', address);
      const xsrf = xsrfIn(await page);
      // Routers take all of these for the same.
      const path = ['/device', '/device/', '/Device'][guesses++ % 3] ?? '';
      const post = agent.post(path).accept('html').type('form').set('x-forwarded-for', address);
      const { status, text } = await post.send({ xsrf, user_code });
      if (status === 429) expect(text).toMatch(/data-wait="\d+"[\s\S]*href="\/account"/);
      return status;
    };
    let guesses = 0;
    const { agent } = await signedInAt(limited);
    const statuses: number[] = [];
    for (let index = 0; index < 6; index++) statuses.push(await guess('192.0.2.1'));
    expect(statuses).toEqual([400, 400, 400, 400, 400, 429]);
    let [number, last] = [0, 400];
    for (; last === 400 && number < 400; number++)
      last = await guess(`198.51.${number >> 8}.${number & 255}`);
    expect([last, number]).toEqual([429, 296]);

    // Whoever can write to Redis takes no guess back.
    const cache = new Redis(redisUrl);
    await cache.flushdb();
    cache.disconnect();
    const { body } = await asApp(limited, tv, { scope: 'openid' }, '/device/auth');
    expect(await guess('203.0.113.1', undefined, body.user_code)).toBe(429);
    expect(await guess('203.0.113.1', agent, body.user_code)).toBe(200);
    const own: number[] = [];
    for (let index = 0; index < 11; index++) own.push(await guess(`203.0.113.${index + 2}`, agent));
    expect(own).toEqual([...Array(10).fill(400), 429]);
    expect(await guess('203.0.113.99', (await signedInAt(limited)).agent)).toBe(400);
  } finally {
    await limited.close();
    await storage.drop();
  }
});

test('disabled, signed out everywhere or signed out there before the poll: no tokens', async () => {
  const hal = somebody();
  const asked = await ask();
  await connect(hal, asked);
  await server.database.query('update accounts set disabled_at = $2 where username = $1', [
    hal.username,
    new Date(server.clock.now()),
  ]);
  expect(await errorOf(asked.device_code)).toBe('invalid_grant');

  const kim = somebody();
  const third = await ask(tv, 'openid offline_access');
  await connect(kim, third);
  // All of it was ended while the approval was being written: it goes by the login before that.
  await server.database.query('update accounts set signed_out_at = $2 where username = $1', [
    kim.username,
    new Date(server.clock.now()),
  ]);
  expect(await errorOf(third.device_code)).toBe('invalid_grant');

  const ida = somebody();
  const second = await ask();
  await connect(ida, second);
  const xsrf = xsrfIn(await ida.agent.get('/session/end').accept('html'));
  await ida.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
  expect(await errorOf(second.device_code)).toBe('invalid_grant');
});
