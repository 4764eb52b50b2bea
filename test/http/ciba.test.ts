/**
 * Client-initiated backchannel authentication (OpenID CIBA Core 1.0): an app asks, the person answers on their account
 * page with a code given then, and the app polls, or is told that it may ask.
 */
import { decodeJwt } from 'jose';
import request from 'supertest';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { openAccount, postForm } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { asApp, createPerson, type Person } from '../support/person.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { startServer, type TestServer } from '../support/server.ts';

const grant_type = 'urn:openid:params:grant-type:ciba';
const till = {
  client_id: 'till',
  client_name: 'The till',
  client_secret: 'a-secret-of-the-till-0123456789abcdef-0123',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: [grant_type, 'refresh_token'],
  backchannel_token_delivery_mode: 'poll',
};
const centre = {
  ...till,
  client_id: 'centre',
  backchannel_token_delivery_mode: 'ping',
  backchannel_client_notification_endpoint: '',
};
let receiver: Receiver;
let server: TestServer;
let other: TestServer;
beforeAll(async () => {
  receiver = await startReceiver({ tls: true });
  centre.backchannel_client_notification_endpoint = `${receiver.url}/ping`;
  const options = { clients: [till, centre, apps.api], settings: { CIBA: 'on' } };
  server = await startServer(options);
  other = await startServer({ ...options, beside: server });
});
afterEach(() => {
  receiver.answers({ status: 204 });
  receiver.received.length = 0;
});
afterAll(async () => {
  await other.close();
  await server.close();
  await receiver.close();
});

let people = 0;
/** Somebody at their account page. */
async function somebody(): Promise<Person> {
  const person = createPerson(server, `person-${people++}`);
  await openAccount(person);
  return person;
}

const notification = { client_notification_token: 'a-token-of-the-centre-0123456789' };
const ask = (login_hint: string, more: Record<string, string> = {}, app = till) =>
  asApp(server, app, { scope: 'openid profile', login_hint, ...more }, '/backchannel');
const poll = (auth_req_id: string, app = till, at = server) => asApp(at, app, { grant_type, auth_req_id });
const errorOf = async (id: string) => (await poll(id)).body.error;
const requestsOf = async ({ agent }: Person) => (await agent.get('/account/requests')).text;
const idOn = (html: string) => /name="request" value="([^"]+)"/.exec(html)?.[1] ?? '';
const answer = async (person: Person, decision: 'allow' | 'deny', code = '', by = person) =>
  postForm(by, 'requests', { request: idOn(await requestsOf(person)), decision, code });

test('a till asks, the person sees who and what and approves with a code, and it receives tokens that say the truth', async () => {
  const ada = await somebody();
  const asked = await ask(ada.username, { binding_message: 'Till 4 blue' });
  expect(asked.body).toEqual({ auth_req_id: expect.any(String), expires_in: 600, interval: 5 });
  const { auth_req_id: id } = asked.body;
  expect(await errorOf(id)).toBe('authorization_pending');
  expect((await poll(id, till, other)).body.error).toBe('slow_down');
  expect((await ada.agent.get('/account')).text).toContain('One waits for your answer');
  const page = await requestsOf(ada);
  for (const text of ['The till', 'Till 4 blue', 'See your username']) expect(page).toContain(text);
  const approved = await answer(ada, 'allow', ada.code());
  expect([approved.status, approved.headers.location]).toEqual([303, '/account/requests']);
  expect(await requestsOf(ada)).toContain('No app waits');
  const { status, body } = await poll(id, till, other);
  expect(status).toBe(200);
  expect(decodeJwt(body.id_token)).toMatchObject({
    aud: 'till',
    acr: 'urn:cypher:acr:mfa',
    amr: ['pwd', 'otp', 'mfa'],
    auth_time: expect.any(Number),
  });
  const me = await request(server.url).get('/me').auth(body.access_token, { type: 'bearer' });
  expect(me.body.preferred_username).toBe(ada.username);
  const refresh = { grant_type: 'refresh_token', refresh_token: body.refresh_token };
  expect((await asApp(other, till, refresh)).status).toBe(200);
});

test('of parallel polls comes one refresh token, which a repeated poll receives too; of parallel answers the first counts', async () => {
  const bob = await somebody();
  const { auth_req_id: id } = (await ask(bob.username)).body;
  const [code, request] = [bob.code(), idOn(await requestsOf(bob))];
  const answers = await Promise.all(
    (['allow', 'deny', 'deny'] as const).map((decision) =>
      postForm(bob, 'requests', { request, decision, code }),
    ),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([303, 409, 409]);
  const approved = answers[0]?.status === 303;
  const polls = await Promise.all(
    Array.from({ length: 10 }, (_, n) => poll(id, till, n % 2 ? other : server)),
  );
  expect(polls.filter(({ status }) => status === 200)).toHaveLength(approved ? 10 : 0);

  const second = (await ask(bob.username)).body.auth_req_id;
  await answer(bob, 'allow', bob.code());
  const more = await Promise.all(
    Array.from({ length: 10 }, (_, n) => poll(second, till, n % 2 ? other : server)),
  );
  server.clock.advance(25);
  const again = await poll(second, till, other);
  expect([...more, again].map(({ status }) => status)).toEqual(Array(11).fill(200));
  expect(new Set([...more, again].map(({ body }) => body.refresh_token)).size).toBe(1);
  server.clock.advance(5);
  expect(await errorOf(second)).toBe('invalid_grant');
  const refresh = { grant_type: 'refresh_token', refresh_token: again.body.refresh_token };
  expect((await asApp(server, till, refresh)).body.error).toBe('invalid_grant');
});

test('more answers at once than there are connections to PostgreSQL wait for one another, and for nothing else', async () => {
  const ben = await somebody();
  await ask(ben.username);
  const [code, request] = [ben.code(), idOn(await requestsOf(ben))];
  const { sent } = await other.database.transaction(async (query) => {
    await query('lock table login_failures in share mode');
    const post = () => postForm(ben, 'requests', { request, decision: 'allow', code });
    const sent = Array.from({ length: 30 }, () => Promise.resolve(post()));
    await new Promise((resolve) => setTimeout(resolve, 300));
    return { sent };
  });
  const statuses = (await Promise.all(sent)).map(({ status }) => status);
  expect(statuses.filter((status) => status === 303)).toHaveLength(1);
  expect(statuses.filter((status) => status >= 500)).toEqual([]);
});

test('no approval without a code of now: none, a wrong one, one used before; nor by somebody else or from elsewhere', async () => {
  const [cleo, eve] = [await somebody(), await somebody()];
  const { auth_req_id: id } = (await ask(cleo.username)).body;
  const used = cleo.code();
  const first = (await ask(cleo.username)).body.auth_req_id;
  await answer(cleo, 'allow', used);
  const open = (await errorOf(id)) === 'authorization_pending' ? id : first;
  for (const [code, status] of [
    ['', 400],
    ['000000', 401],
    [used, 401],
  ] as const)
    expect((await answer(cleo, 'allow', code)).status).toBe(status);
  expect((await answer(cleo, 'allow', eve.code(), eve)).status).toBe(409);
  expect((await answer(cleo, 'deny', '', eve)).status).toBe(409);
  const stranger = createPerson(server, 'stranger');
  expect((await stranger.agent.get('/account/requests')).status).toBe(303);
  const from = { request: idOn(await requestsOf(cleo)), decision: 'deny' };
  const forged = cleo.agent
    .post('/account/requests')
    .set('origin', 'https://evil.example')
    .type('form')
    .send(from);
  expect((await forged).status).toBe(403);
  await new Promise((resolve) => setTimeout(resolve, 4100));
  expect(await errorOf(open)).toBe('authorization_pending');
  expect((await answer(cleo, 'deny')).status).toBe(303);
  expect(await errorOf(open)).toBe('access_denied');
});

test('who is nobody, or disabled, is unknown; what is not taken is refused', async () => {
  const dan = await somebody();
  expect((await ask('nobody-of-that-name')).body.error).toBe('unknown_user_id');
  expect((await ask(`no\u0000name`)).body.error).toBe('unknown_user_id');
  expect((await ask(dan.username, { binding_message: 'x'.repeat(65) })).body.error).toBe(
    'invalid_binding_message',
  );
  expect((await ask(dan.username, { binding_message: 'two\nlines' })).body.error).toBe(
    'invalid_binding_message',
  );
  expect((await ask('', {})).body.error).toBe('invalid_request');
  const secretless = { ...till, client_secret: 'not the secret' };
  expect((await ask(dan.username, {}, secretless)).body.error).toBe('invalid_client');
  await server.database.query('update accounts set disabled_at = now() where username = $1', [dan.username]);
  expect((await ask(dan.username)).body.error).toBe('unknown_user_id');
});

test('the sign-out of the session that approved ends what was approved; with offline_access it goes on', async () => {
  const gil = await somebody();
  const tokens = [];
  for (const scope of ['openid', 'openid offline_access']) {
    const { auth_req_id: id } = (await ask(gil.username, { scope })).body;
    expect((await answer(gil, 'allow', gil.code())).status).toBe(303);
    const { status, body } = await poll(id);
    expect([status, body.scope]).toEqual([200, scope]);
    tokens.push(body);
  }
  await postForm(gil, 'sessions/end', {
    session: /name="session" value="([^"]+)"/.exec((await gil.agent.get('/account')).text)?.[1] ?? '',
  });
  const refreshed = tokens.map(({ refresh_token }) =>
    asApp(server, till, { grant_type: 'refresh_token', refresh_token }),
  );
  const answers = (await Promise.all(refreshed)).map(({ status, body }) => [status, body.error_description]);
  expect(answers).toEqual([
    [400, expect.stringMatching(/^.+$/)],
    [200, undefined],
  ]);
});

// Last, for it turns the clock far: the library's own stays.
test('ping: told once it is answered and not before, again until it answers; a dump holds nothing of it', async () => {
  const fay = await somebody();
  receiver.answers({ status: 503 });
  const asked = await ask(fay.username, notification, centre);
  const { auth_req_id } = asked.body;
  const dump = await server.database.query<{ text: string }>(
    `select payload::text as text from records union all select d::text from deliveries d`,
  );
  expect(dump.map(({ text }) => text).join()).toContain('"clientId": "centre"');
  for (const secret of [auth_req_id, notification.client_notification_token])
    expect(dump.map(({ text }) => text).join()).not.toContain(secret);
  await new Promise((resolve) => setTimeout(resolve, 1200));
  expect(receiver.received).toEqual([]);
  await answer(fay, 'allow', fay.code());
  await vi.waitFor(() => expect(receiver.received).toHaveLength(1), { timeout: 60_000 });
  receiver.answers({ status: 204 });
  server.clock.advance(11);
  await vi.waitFor(() => expect(receiver.received).toHaveLength(2), { timeout: 60_000 });
  const [, told] = receiver.received;
  expect(told?.headers.authorization).toBe(`Bearer ${notification.client_notification_token}`);
  expect(JSON.parse(told?.body ?? '')).toEqual({ auth_req_id });
  expect((await poll(auth_req_id, centre)).status).toBe(200);
  server.clock.advance(3600);
  await new Promise((resolve) => setTimeout(resolve, 1200));
  expect(receiver.received).toHaveLength(2);
});

test('it is off unless it is turned on', async () => {
  const plain = await startServer({ clients: [apps.web] });
  try {
    const { body } = await request(plain.url).get('/.well-known/openid-configuration');
    expect(body).not.toHaveProperty('backchannel_authentication_endpoint');
    expect((await request(plain.url).post('/backchannel')).status).toBe(404);
  } finally {
    await plain.close();
  }
});
