/** A password is changed at the account page: what it takes, what it ends, and that there is no side door. */
import { setTimeout as sleep } from 'node:timers/promises';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRevocations } from '../../src/revocation/revocations.ts';
import {
  changePassword,
  newRecord,
  openAccount,
  proofInit,
  prove,
  sendRecord,
} from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { asApp, challengeOf, createPerson, type Person, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { begin, visit } from '../support/visits.ts';

const { web } = apps;
const longer = 'a staple battery that horses correct';
let server: TestServer;
let other: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
  other = await startServer({ clients: Object.values(apps), beside: server });
});
afterAll(async () => {
  await other.close();
  await server.close();
});

async function withAccount(name: string): Promise<Person> {
  const person = createPerson(server, name);
  await openAccount(person);
  return person;
}

/** The same person in another browser, signed in. */
async function elsewhere(
  { username, password, totpSecret }: Person,
  at: TestServer = server,
): Promise<Person> {
  const person = createPerson(at, username, password);
  Object.assign(person, { totpSecret });
  await openAccount(person);
  return person;
}

test('Password changed: its sessions and tokens are dead on every instance; the new password works, the old does not', async () => {
  const person = await withAccount('ann');
  const tokens = await person.tokensFor(web, { scope: 'openid offline_access', prompt: 'consent' });
  const second = await elsewhere(person, other);
  const old = person.password;

  const changed = await changePassword(person, longer);
  expect([changed.status, changed.body]).toEqual([200, { location: '/account/signed-out' }]);
  // At once: written with the change, whatever happens to the process after its answer.
  const logged = await server.database.query('select address, detail from audit_log where event = $1', [
    'password.changed',
  ]);
  expect(logged).toEqual([{ address: '127.0.0.1', detail: { by: 'owner' } }]);

  const introspected = await asApp(other, web, { token: tokens.access_token }, '/token/introspection');
  expect(introspected.body).toEqual({ active: false });
  const refreshed = await asApp(other, web, {
    grant_type: 'refresh_token',
    refresh_token: tokens.refresh_token,
  });
  expect(refreshed.body.error).toBe('invalid_grant');
  expect((await second.agent.get('/account')).status).toBe(303);
  expect((await person.agent.get('/account')).status).toBe(303);

  const uid = await begin(person);
  expect((await person.loginInit(uid, { password: old })).ke3).toBeUndefined();
  await expect(person.signIn(uid)).resolves.toBeDefined();
});

test('a login that had proved the old password before the change comes to nothing', async () => {
  const person = await withAccount('ben');
  const atCode = await visit(server, 'ben', person);
  await atCode.person.provePassword(atCode.uid);
  const atKe3 = await visit(server, 'ben', person);
  const { ke3 } = await atKe3.person.loginInit(atKe3.uid);
  server.clock.advance(2);
  await changePassword(person, longer);
  server.clock.advance(2);
  const finished = await atKe3.person.step(atKe3.uid, 'login/finish', { ke3 });
  expect([finished.status, finished.body.error]).toEqual([401, 'invalid_credentials']);
  expect(finished.headers['set-cookie']).toBeUndefined();
  for (const { person: late, uid } of [atCode, atKe3]) {
    expect((await late.agent.get(`/interaction/${uid}`)).text).toContain('current-password');
    const answer = await late.step(uid, 'totp/verify', { code: person.code() });
    expect([answer.status, answer.body.error]).toEqual([401, 'login_step_required']);
  }
});

test('nor does one that is at its code in the very moment of the change', async () => {
  const person = await withAccount('bob');
  const { person: late, uid } = await visit(server, 'bob', person);
  await late.provePassword(uid);
  const code = person.code();
  const { sent } = await server.database.transaction(async (query) => {
    await query("update accounts set credential_id = 'another' where username_key = 'bob'");
    // It has been let through to the code, and waits there for the change that it has not seen.
    const sent = Promise.resolve(late.step(uid, 'totp/verify', { code }));
    await sleep(200);
    return { sent };
  });
  const { status, body } = await sent;
  expect([status, body.error]).toEqual([401, 'login_step_required']);
});

test('nor does an authorization that overlaps the change: nothing of it is answered', async () => {
  const person = await withAccount('bea');
  const asked = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
  const start = await person.authorize(web, { ...asked, scope: 'openid offline_access', prompt: 'consent' });
  const revocations = createRevocations(server.database, server.clock.now);
  const [{ id } = { id: '' }] = await server.database.query<{ id: string }>(
    "select id from accounts where username_key = 'bea'",
  );
  const { sent } = await server.database.transaction(async (query) => {
    await revocations.endAccount(id, query);
    // It sees nothing of the end, and waits for it only where it writes its session.
    const sent = person.follow(start).catch((error: Error) => error);
    await sleep(300);
    return { sent };
  });
  expect(await sent).toMatchObject({
    message: expect.stringMatching(/answered 401.*You were signed out in the meantime/s),
  });
});

test('of parallel changes with one proof one is made; the proof is worth nothing afterwards', async () => {
  const person = await withAccount('cleo');
  await prove(person, 'password');
  const passwords = [longer, `${longer} once more`];
  const records = [];
  for (const password of passwords) records.push((await newRecord(person, password)).record);
  const cookie = cookieHeader(cookiesOf(person, '/account'));
  const send = (record: string, index: number) =>
    request([server, other][index % 2]?.url ?? '')
      .post('/account/password/finish')
      .set('cookie', cookie)
      .send({ record });
  const answers = await Promise.all([...records, ...records].map(send));
  const won = answers.findIndex(({ status }) => status === 200);
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401]);
  // Whichever it was, its password works: no record is stored under the identifier of another one.
  person.password = passwords[won % 2] ?? '';
  await expect(person.signIn(await begin(person))).resolves.toBeDefined();
  expect((await send(records[0] ?? '', 0)).status).toBe(401);
});

test('without a proof nothing is begun or finished', async () => {
  const person = await withAccount('dan');
  const { answer } = await newRecord(person, longer);
  expect([answer.status, answer.body.error]).toEqual([401, 'proof_required']);
  const finish = await sendRecord(person, 'A'.repeat(172));
  expect([finish.status, finish.body.error]).toEqual([401, 'proof_required']);
});

test('the password alone is no proof, nor is a code alone, nor another purpose’s messages', async () => {
  const person = await withAccount('eva');
  const wrongCode = await prove(person, 'password', '000000');
  expect([wrongCode.status, wrongCode.body.error]).toEqual([401, 'invalid_code']);
  const { ke3 } = await proofInit(person, 'password', 'not the right password');
  expect(ke3).toBeUndefined();
  const code = person.code();
  const guessed = await person.agent
    .post('/account/password/proof/finish')
    .send({ ke3: 'A'.repeat(43), code });
  expect([guessed.status, guessed.body.error]).toEqual([401, 'invalid_credentials']);
  const begun = await proofInit(person, 'password');
  const crossed = await person.agent
    .post('/account/authenticator/proof/finish')
    .send({ ke3: begun.ke3, code: person.code() });
  expect([crossed.status, crossed.body.error]).toEqual([401, 'proof_required']);
  expect((await newRecord(person, longer)).answer.status).toBe(401);
});
