/**
 * States that a later release stored or signed, and that this one cannot read, at every step: nobody is told that their
 * password is wrong, nothing counts as a failure, and the step can be begun again.
 */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openKeyring } from '../../src/keys/keyring.ts';
import { createSealer } from '../../src/lib/crypto.ts';
import { stateOf, stateText } from '../../src/lib/formats.ts';
import { createPings } from '../../src/oidc/polled/pings.ts';
import { keyKinds, tokenKeysetOf } from '../../src/server_keys.ts';
import { codecsOf } from '../../src/tokens/codecs.ts';
import type { TokenKind } from '../../src/tokens/keys.ts';
import { openAccount, proofInit } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { asApp, challengeOf, createPerson, isAlive, type Person, verifier } from '../support/person.ts';
import { kek, startServer, type TestServer } from '../support/server.ts';
import { begin, signUp, visit } from '../support/visits.ts';

const { web } = apps;
const sealer = createSealer(kek);
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

/** Gives the short-lived states of these keys a format that comes later. */
async function fromLater(like: string): Promise<void> {
  const changed = await server.database.query(
    `update ephemeral set value = replace(value, '"v":1', '"v":99') where key like $1 and value like '%"v":1%' returning key`,
    [like],
  );
  expect(changed.length).toBeGreaterThan(0);
}

/** The same for the state of a password's proof, which is sealed. */
async function proofFromLater(exchange: string): Promise<void> {
  const key = `ke2:${exchange}`;
  const [row] = await server.database.query<{ value: string }>('select value from ephemeral where key = $1', [
    key,
  ]);
  const text = sealer.unseal(Buffer.from(row?.value ?? '', 'base64url'), `ke2 ${exchange}`).toString();
  const later = { v: 99, bucket: JSON.parse(text).bucket, other: 'members' };
  const value = sealer.seal(Buffer.from(JSON.stringify(later)), `ke2 ${exchange}`).toString('base64url');
  await server.database.query('update ephemeral set value = $2 where key = $1', [key, value]);
}

/** The same token with the format of a later release, under the server's own key. */
async function tokenFromLater(kind: TokenKind, token: string): Promise<string> {
  const log = { error: () => {} };
  const keyring = await openKeyring(server.database, sealer, keyKinds, { log, now: server.clock.now });
  const { signing } = codecsOf(server.url, kind, tokenKeysetOf(keyring)[kind]);
  const claims = await signing.open(token);
  expect(claims?.v).toBe(1);
  return signing.seal({ ...claims, v: 99 });
}

const failures = async () =>
  (
    await server.database.query('select encode(bucket, $1) as b, failures from login_failures order by 1', [
      'hex',
    ])
  ).length;
const failedEvents = async () => {
  await server.audit.flush();
  return (await server.database.query("select from audit_log where event like 'login.failed'")).length;
};

test.each([['ada'], ['nobody']])(
  'the proof of a password (%s): it is asked for again, not called wrong, and not counted',
  async (name) => {
    if (name === 'ada') await signUp(server, name);
    const { person, uid } = await visit(server, name);
    const before = await failedEvents();
    const finish = async () => {
      const { answer } = await person.loginInit(uid);
      if (answer.status !== 200) return answer;
      await proofFromLater(uid);
      return person.step(uid, 'login/finish', { ke3: Buffer.alloc(32, 1).toString('base64url') });
    };
    // As often as wrong passwords are free, and some more.
    for (let time = 0; time < 5; time++) {
      const { status, body } = await finish();
      expect([status, body.error]).toEqual([401, 'login_step_required']);
      expect(body.message).toBe('Your password entry has expired. Enter your password again.');
    }
    expect(await failedEvents()).toBe(before);
    if (name === 'ada') expect((await person.provePassword(uid)).status).toBe(200);
    // But a guess shows from the first answer already: so not without end.
    let answer = await finish();
    for (let time = 0; time < 15 && answer.status !== 429; time++) answer = await finish();
    expect(answer.status).toBe(429);
  },
);

test('the proof of a password that another key-encryption key sealed is asked for again', async () => {
  const person = await signUp(server, 'bea');
  const { person: again, uid } = await visit(server, 'bea', person);
  await again.loginInit(uid);
  const foreign = createSealer(Buffer.alloc(32, 9))
    .seal(Buffer.from('{}'), `ke2 ${uid}`)
    .toString('base64url');
  await server.database.query('update ephemeral set value = $2 where key = $1', [`ke2:${uid}`, foreign]);
  const refused = await again.step(uid, 'login/finish', { ke3: Buffer.alloc(32, 1).toString('base64url') });
  expect([refused.status, refused.body.error]).toEqual([401, 'login_step_required']);
});

test('the proof before a change of the account is asked for again', async () => {
  const person = createPerson(server, 'cleo');
  await openAccount(person);
  const { ke3 } = await proofInit(person, 'password');
  const [row] = await server.database.query<{ key: string }>(
    "select key from ephemeral where key like 'ke2:account%'",
  );
  await proofFromLater(String(row?.key).slice('ke2:'.length));
  const finish = (body: object) => person.agent.post('/account/password/proof/finish').send(body);
  const refused = await finish({ ke3, code: person.code() });
  expect([refused.status, refused.body.error]).toEqual([401, 'proof_required']);
  const anew = await proofInit(person, 'password');
  expect((await finish({ ke3: anew.ke3, code: person.code() })).status).toBe(200);
});

test('a sign-up begins again', async () => {
  const { person, uid } = await visit(server, 'dora');
  const message = await person.loginInit(uid).then(() => person.register(uid));
  expect(message.status).toBe(200);
  const other = await visit(server, 'dorothy');
  const sending = other.person.register;
  // Between its two messages.
  const step = other.person.step;
  other.person.step = ((at: string, action: string, body: object) =>
    action === 'register/finish'
      ? fromLater('sign-up:%').then(() => step(at, action, body))
      : step(at, action, body)) as typeof step;
  const refused = await sending(other.uid);
  expect([refused.status, refused.body.message]).toEqual([400, 'This sign-up has expired. Try once more.']);
  other.person.step = step;
  expect((await other.person.register(other.uid)).status).toBe(200);
});

/** Sends the step with a step token of a later release. */
async function withLaterStep(person: Person, uid: string, action: string, body: object) {
  const cookies = cookiesOf(person, `/interaction/${uid}`);
  const cypher_step = await tokenFromLater('step', cookies.cypher_step ?? '');
  return request(server.url)
    .post(`/interaction/${uid}/${action}`)
    .set('Cookie', cookieHeader({ ...cookies, cypher_step }))
    .send(body);
}

test('a code after the password: the password is asked for again, and no failure is counted', async () => {
  const person = await signUp(server, 'eve');
  const { person: again, uid } = await visit(server, 'eve', person);
  await again.provePassword(uid);
  const before = await failures();
  const refused = await withLaterStep(again, uid, 'totp/verify', { code: again.code() });
  expect([refused.status, refused.body.error]).toEqual([401, 'login_step_required']);
  expect(await failures()).toBe(before);
  expect((await again.step(uid, 'totp/verify', { code: again.code() })).status).toBe(200);
});

test('the set-up of an authenticator: the password is asked for again', async () => {
  const { person, uid } = await visit(server, 'fay');
  await person.register(uid);
  await person.step(uid, 'totp/setup', {});
  const refused = await withLaterStep(person, uid, 'totp/verify-setup', { code: '123456' });
  expect([refused.status, refused.body.error]).toEqual([401, 'login_step_required']);
  expect((await person.setUpTotp(uid)).status).toBe(200);
});

test('a waiting request: it has expired, and the app begins again', async () => {
  const { person, uid } = await visit(server, 'gus');
  await fromLater('Interaction:%');
  const page = await person.agent.get(`/interaction/${uid}`).accept('html');
  expect([page.status, page.text]).toEqual([400, expect.stringContaining('expired')]);
  const { answer } = await person.loginInit(uid);
  expect([answer.status, answer.body.error]).toEqual([400, 'interaction_expired']);
  await expect(person.signUp(await begin(person))).resolves.toBeDefined();
});

test('a pushed request: the app pushes it again', async () => {
  const challenge = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
  const params = {
    response_type: 'code',
    redirect_uri: web.redirect_uri,
    scope: 'openid',
    ...challenge,
    client_id: web.client_id,
  };
  const push = async () => {
    const pushed = await asApp(server, web, params, '/request');
    return { client_id: web.client_id, request_uri: String(pushed.body.request_uri) };
  };
  const pushed = await push();
  await fromLater('PushedAuthorizationRequest:%');
  const open = (query: object) => request(server.url).get('/auth').query(query);
  const refused = await open(pushed);
  expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('invalid_request_uri')]);
  expect((await open(await push())).status).toBe(303);
});

test('a session: the person signs in again', async () => {
  const person = createPerson(server, 'hal');
  await openAccount(person);
  await server.database.query(
    'update sessions set format = 99 where account_id = (select id from accounts where username = $1)',
    ['hal'],
  );
  expect((await person.agent.get('/account')).status).toBe(303);
  await openAccount(person);
  expect((await person.agent.get('/account')).status).toBe(200);

  const cookies = cookiesOf(person, '/account');
  const cypher_session = await tokenFromLater('session', cookies.cypher_session ?? '');
  const visited = await request(server.url)
    .get('/account')
    .set('Cookie', cookieHeader({ ...cookies, cypher_session }));
  expect(visited.status).toBe(303);
});

test('a code of an app, a grant and an access token: the app begins again', async () => {
  const person = createPerson(server, 'ida');
  const code_verifier = verifier();
  const pkce = { code_challenge: challengeOf(code_verifier), code_challenge_method: 'S256' };
  const exchange = (code: string) =>
    asApp(server, web, {
      grant_type: 'authorization_code',
      code,
      redirect_uri: web.redirect_uri,
      code_verifier,
    });
  const code = await person.codeFor(web, pkce);
  await server.database.query("update records set format = 99 where model = 'AuthorizationCode'");
  const refused = await exchange(code);
  expect([refused.status, refused.body.error]).toEqual([400, 'invalid_grant']);

  const { status, body } = await exchange(await person.codeFor(web, pkce));
  expect(status).toBe(200);
  expect(await isAlive(server, await tokenFromLater('access', body.access_token))).toBe(false);
  expect(await isAlive(server, body.access_token)).toBe(true);
  await server.database.query("update records set format = 99 where model = 'Grant'");
  const late = await asApp(server, web, { grant_type: 'refresh_token', refresh_token: body.refresh_token });
  expect([late.status, late.body.error]).toEqual([400, 'invalid_grant']);
  await expect(person.tokensFor(web)).resolves.toBeDefined();
});

test('a code and a grant in the format of the next release are as good as those of this one', async () => {
  const person = createPerson(server, 'format-two');
  const code_verifier = verifier();
  const pkce = { code_challenge: challengeOf(code_verifier), code_challenge_method: 'S256' };
  const code = await person.codeFor(web, pkce);
  const changed = await server.database.query(
    `update records set format = 2, payload = payload - 'grantId' - 'accountId'
     where model in ('AuthorizationCode', 'Grant') and account_id = (select id from accounts where username = $1)
     returning model`,
    [person.username],
  );
  expect(changed).toHaveLength(2);
  const form = { grant_type: 'authorization_code', code, redirect_uri: web.redirect_uri, code_verifier };
  const { status, body } = await asApp(server, web, form);
  expect(status).toBe(200);
  const me = await request(server.url).get('/me').auth(body.access_token, { type: 'bearer' });
  expect(me.status).toBe(200);
  const refreshed = await asApp(server, web, {
    grant_type: 'refresh_token',
    refresh_token: body.refresh_token,
  });
  expect(refreshed.status).toBe(200);
});

test('a notification that waits is left for an instance that reads it', async () => {
  const kept: Buffer[] = [];
  const pings = createPings({ sealer, hold: async ({ sealed }) => void kept.push(sealed) });
  await pings.hold({ requestId: 'r', token: 't', clientId: 'c', accountId: 'a' });
  const about = 'XNzOtehvQW4Ov3Lv2gJvzLgU7o0aEUCxkgU8vEyYU5E';
  const seal = (text: string) => sealer.seal(Buffer.from(text), `deliveries ${about} sealed`);
  const send = (text: string) => pings.send(async () => true, { clientId: 'c', about, sealed: seal(text) });
  expect(await send(stateText('ping', { requestId: 'r', token: 't' }))).toBe(true);
  await expect(send('{"requestId":"r","token":"t","v":99}')).rejects.toThrow('another version');
});

test('a state of the release before this member was there is read; anything that is no state is not', () => {
  expect(stateOf('signUp', '{"a":1}')).toEqual({ a: 1 });
  expect(stateOf('signUp', stateText('signUp', { a: 1 }))).toEqual({ a: 1 });
  for (const text of [undefined, '', 'null', '7', '"text"', '{"a":', '{"a":1,"v":99}', '{"v":"1"}'])
    expect(stateOf('signUp', text)).toBeUndefined();
});
