/**
 * Back-channel logout (OpenID Connect Back-Channel Logout 1.0): however a session ends, each of its apps hears of it, from
 * whichever instance, until it has answered or ten minutes have passed.
 */
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { createAccounts } from '../../src/accounts/accounts.ts';
import { createAccountControl } from '../../src/accounts/control.ts';
import { createRevocations } from '../../src/revocation/revocations.ts';
import { apps } from '../support/apps.ts';
import { machineMs } from '../support/machine_time.ts';
import { createPerson, type Person, type TokenAnswer } from '../support/person.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { startServer, type TestServer } from '../support/server.ts';

let one: Receiver;
let two: Receiver;
let server: TestServer;
let other: TestServer;
const { spa } = apps;
const first = { ...apps.intranet, client_id: 'first', client_name: 'First', backchannel_logout_uri: '' };
const second = { ...apps.web, client_id: 'second', client_name: 'Second', backchannel_logout_uri: '' };
beforeAll(async () => {
  [one, two] = await Promise.all([startReceiver(), startReceiver()]);
  first.backchannel_logout_uri = `${one.url}/logout`;
  second.backchannel_logout_uri = `${two.url}/logout`;
  const clients = [first, second, spa];
  server = await startServer({ clients });
  other = await startServer({ clients, beside: server });
});
afterEach(() => {
  for (const receiver of [one, two]) {
    receiver.answers({ status: 200 });
    receiver.received.length = 0;
  }
});
afterAll(async () => {
  await other.close();
  await server.close();
  await Promise.all([one.close(), two.close()]);
});

let people = 0;
const somebody = () => createPerson(server, `person-${people++}`);
const soon = (check: () => void | Promise<void>) => vi.waitFor(check, { timeout: 60_000, interval: 50 });

/** Somebody else's browser for the same person. */
function elsewhere({ username, totpSecret }: Person): Person {
  return Object.assign(createPerson(server, username), { totpSecret });
}

async function signOut(person: Person, query: object = {}): Promise<URL> {
  const page = await person.agent.get('/session/end').query(query).accept('html');
  if (page.status === 303) return new URL(String(page.headers.location));
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
  const done = await person.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
  return new URL(String(done.headers.location));
}

const pageAfter = async (person: Person) =>
  (await person.agent.get('/session/end/success').accept('html')).text;
const stateOf = (page: string, name: string) =>
  new RegExp(`data-state="(\\w+)"><bdi>${name}</bdi>`).exec(page)?.[1];

/** The claims of the one logout token that arrived, checked as an app checks it. */
async function logoutAt({ received }: Receiver, client_id: string) {
  await soon(() => expect(received).toHaveLength(1));
  const { headers, body } = received[0] ?? { headers: {}, body: '' };
  expect(headers['content-type']).toBe('application/x-www-form-urlencoded');
  const form = new URLSearchParams(body);
  expect([...form.keys()]).toEqual(['logout_token']);
  const jwks = createRemoteJWKSet(new URL(`${server.url}/jwks`));
  const { payload } = await jwtVerify(form.get('logout_token') ?? '', jwks, {
    issuer: server.url,
    audience: client_id,
    typ: 'logout+jwt',
    requiredClaims: ['iat', 'exp', 'jti'],
  });
  return payload;
}

const sidOf = (tokens: TokenAnswer) => decodeJwt(tokens.id_token).sid;

test('a sign-out tells every app of the session, each by the sid that it knows, and the page says so', async () => {
  const ada = somebody();
  const [mine, also] = [await ada.tokensFor(first), await ada.tokensFor(second)];
  await ada.tokensFor(spa);
  const otherBrowser = await elsewhere(ada).tokensFor(first);
  expect(new Set([sidOf(mine), sidOf(also), sidOf(otherBrowser), undefined]).size).toBe(4);
  await signOut(ada);
  const page = await pageAfter(ada);
  expect(['First', 'Second', spa.client_name].map((name) => stateOf(page, name))).toEqual([
    'signed_out',
    'signed_out',
    'unaware',
  ]);
  const told = await logoutAt(one, 'first');
  expect(told).toMatchObject({
    sub: decodeJwt(mine.id_token).sub,
    sid: sidOf(mine),
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
  });
  expect(told).not.toHaveProperty('nonce');
  expect(Number(told.exp) - Number(told.iat)).toBeLessThanOrEqual(120);
  expect((await logoutAt(two, 'second')).sid).toBe(sidOf(also));
  expect(one.received).toHaveLength(1);
});

test('where the app gets its state back at its own address, the others hear of it all the same', async () => {
  const bob = somebody();
  const { id_token } = await bob.tokensFor(second);
  await bob.tokensFor(first);
  const [post_logout_redirect_uri] = second.post_logout_redirect_uris;
  const back = await signOut(bob, { id_token_hint: id_token, post_logout_redirect_uri, state: 's' });
  expect(back.href).toBe(`${post_logout_redirect_uri}?state=s`);
  await logoutAt(one, 'first');
  await logoutAt(two, 'second');
});

test('an app that does not answer is named on the page, told again, and once it answers no more', async () => {
  const cleo = somebody();
  await cleo.tokensFor(first);
  await cleo.tokensFor(second);
  one.answers('nothing');
  const started = machineMs();
  await signOut(cleo);
  const page = await pageAfter(cleo);
  expect(machineMs() - started).toBeLessThan(5000);
  expect([stateOf(page, 'First'), stateOf(page, 'Second')]).toEqual(['silent', 'signed_out']);
  expect(one.received).toHaveLength(1);
  one.answers({ status: 200 });
  await soon(async () => expect(await waiting()).toEqual([{ attempts: 1, tried: true }]));
  server.clock.advance(11);
  await soon(async () => expect(stateOf(await pageAfter(cleo), 'First')).toBe('signed_out'));
  server.clock.advance(3600);
  await new Promise((resolve) => setTimeout(resolve, 1200));
  expect(one.received).toHaveLength(2);
  const jtis = one.received.map(
    ({ body }) => decodeJwt(new URLSearchParams(body).get('logout_token') ?? '').jti,
  );
  expect(new Set(jtis).size).toBe(2);
  expect(two.received).toHaveLength(1);
});

const waiting = () =>
  server.database.query<{ attempts: number; tried: boolean }>(
    `select attempts, answer is not null as tried from deliveries where state = 'waiting'`,
  );

test('after ten minutes it is given up; both outcomes are in the audit log and the metrics', async () => {
  const dan = somebody();
  await dan.tokensFor(first);
  await dan.tokensFor(second);
  // A redirect is not followed, so it is no answer.
  one.answers({ status: 302, location: `${two.url}/elsewhere` });
  const began = server.clock.now();
  await signOut(dan);
  for (let attempt = 1; ; attempt++) {
    await soon(async () => expect((await waiting())[0]?.attempts ?? 99).toBeGreaterThanOrEqual(attempt));
    await soon(async () => expect((await waiting()).every(({ tried }) => tried)).toBe(true));
    if ((await waiting()).length === 0) break;
    await soon(() => expect(one.received).toHaveLength(attempt));
    const [due] = await server.database.query<{ next: Date }>(
      `select next_attempt_at as next from deliveries where state = 'waiting'`,
    );
    // The last attempt may have been noted only now.
    if (!due) break;
    server.clock.advance((due.next.getTime() - server.clock.now()) / 1000 + 1);
  }
  expect(one.received).toHaveLength(7);
  expect(server.clock.now() - began).toBeGreaterThan(600_000);
  expect(two.received.map(({ path }) => path)).toEqual(['/logout']);
  await Promise.all([server.audit.flush(), other.audit.flush()]);
  const events = await server.database.query(
    `select event, client_id, detail->>'attempt' as attempt from audit_log
     where event like 'logout.%' and account_id = (select id from accounts where username = $1) order by id`,
    [dan.username],
  );
  expect(events).toEqual([
    { event: 'logout.delivered', client_id: 'second', attempt: '1' },
    { event: 'logout.given_up', client_id: 'first', attempt: '7' },
  ]);
  const counted = await Promise.all(
    [server, other].map(({ metrics }) => metrics.registry.getSingleMetricAsString('cypher_deliveries_total')),
  );
  expect(counted.join()).toMatch(/kind="logout",outcome="given_up"} 1/);
});

test('an administrator’s sign-out and disablement tell the apps too, by whichever instance, each once', async () => {
  const { database, clock } = server;
  // As the command line does it: in another process, which sends nothing itself.
  const control = createAccountControl({
    sessions: { allOfAccount: async function* () {} },
    accounts: createAccounts(database, clock.now),
    revocations: createRevocations(database, clock.now),
    audit: server.audit,
    database,
  });
  for (const end of ['signOut', 'disable'] as const) {
    const eve = somebody();
    const sids = [sidOf(await eve.tokensFor(first)), sidOf(await elsewhere(eve).tokensFor(first))];
    await control[end](eve.username);
    await soon(() => expect(one.received).toHaveLength(2));
    await new Promise((resolve) => setTimeout(resolve, 1200));
    const told = one.received.map(({ body }) =>
      decodeJwt(new URLSearchParams(body).get('logout_token') ?? ''),
    );
    expect(told.map(({ sid }) => sid).sort(), end).toEqual(sids.sort());
    one.received.length = 0;
  }
});

test('what was taken by an instance that died is delivered by another', async () => {
  const fay = somebody();
  await fay.tokensFor(first);
  // The one that dies: it has taken the row, and nothing came of it.
  await server.database.transaction(async (query) => {
    await query(
      `update sessions set ended_at = $2 where account_id = (select id from accounts where username = $1)`,
      [fay.username, new Date(server.clock.now())],
    );
    const next = new Date(server.clock.now() + 10_000);
    await query(`update deliveries set attempts = 1, next_attempt_at = $1 where state = 'waiting'`, [next]);
  });
  await new Promise((resolve) => setTimeout(resolve, 1200));
  expect(one.received).toHaveLength(0);
  server.clock.advance(11);
  await logoutAt(one, 'first');
});

test('the page of a sign-out is shown to the browser that signed out alone', async () => {
  const gil = somebody();
  await gil.tokensFor(first);
  await signOut(gil);
  const [{ uid } = { uid: '' }] = await server.database.query<{ uid: string }>(
    `select session_uid as uid from deliveries order by id desc limit 1`,
  );
  expect(await pageAfter(gil)).toContain('First');
  const stranger = somebody();
  expect(await pageAfter(stranger)).not.toContain('First');
  stranger.agent.jar.setCookie(`cypher_signed_out=${uid}`, 'localhost', '/');
  expect(await pageAfter(stranger)).not.toContain('First');
});
