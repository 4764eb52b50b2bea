/** No step can be left out, no spelling makes a second account, and only a finished sign-up tells that a name is taken. */
import { createECDH } from 'node:crypto';
import { IdentityMemHardFn } from '@cloudflare/opaque-ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRegistration } from '../../src/browser/opaque_client.ts';
import { apps } from '../support/apps.ts';
import { createPerson, interactionOf } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, begin, signUp, visit } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const { intranet, web } = apps;
const pkce = { code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256' };

test('OPAQUE: after KE3, going on without TOTP gives no code: resume, consent, prompt=none', async () => {
  const ada = await signUp(server, 'ada');
  const { person, uid } = await afterPassword(server, ada);
  const consent = await person.step(uid, 'consent', { decision: 'allow' });
  expect([consent.status, consent.body.error]).toEqual([409, 'wrong_step']);
  const silent = await person.authorize(intranet, { prompt: 'none' });
  expect([silent.searchParams.get('error'), silent.searchParams.get('code')]).toEqual([
    'login_required',
    null,
  ]);
  const resumed = await person.agent.get(`/auth/${uid}`);
  expect(resumed.status).toBe(303);
  const next = interactionOf(new URL(String(resumed.headers.location), server.url));
  expect(next).toBeDefined();
  // The new page asks for the password again: the login-step token belongs to the interaction before.
  const page = await person.agent.get(`/interaction/${next}`);
  expect(page.text).toContain('current-password');
  const code = await person.step(String(next), 'totp/verify', { code: person.code() });
  expect([code.status, code.body.error]).toEqual([401, 'login_step_required']);
});

test('a code is not taken before the password, nor consent before the login', async () => {
  const bob = await signUp(server, 'bob');
  const { person, uid } = await visit(server, 'bob', bob);
  for (const [action, body] of [
    ['totp/verify', { code: person.code() }],
    ['totp/verify', { code: bob.recoveryCodes[0] }],
    ['totp/setup', {}],
    ['totp/verify-setup', { code: person.code() }],
  ] as const) {
    const answer = await person.step(uid, action, body);
    expect([action, answer.status, answer.body.error]).toEqual([action, 401, 'login_step_required']);
  }
  expect((await person.step(uid, 'consent', { decision: 'allow' })).status).toBe(401);
});

test('a signed-in browser at the consent page can post nothing else', async () => {
  const carol = await signUp(server, 'carol');
  await carol.follow(await carol.signIn(await begin(carol)));
  const uid = await begin(carol, web, pkce);
  expect((await carol.agent.get(`/interaction/${uid}`)).text).toContain('Allow');
  expect((await carol.provePassword(uid)).status).toBe(409);
  for (const action of [
    'login/finish',
    'register/finish',
    'totp/setup',
    'totp/verify',
    'totp/verify-setup',
  ]) {
    expect([action, (await carol.step(uid, action, { code: '000000' })).status]).toEqual([action, 409]);
  }
  const denied = await carol.step(uid, 'consent', { decision: 'deny' });
  const back = await carol.agent.get(new URL(denied.body.location).pathname);
  expect(new URL(String(back.headers.location)).searchParams.get('error')).toBe('access_denied');
});

test('OPAQUE: one account and one bucket, however the name is spelt', async () => {
  const ada = await signUp(server, 'Jörg.Straße');
  const spellings = ['jörg.strasse', 'JÖRG.STRASSE', 'JÖRG.STRAẞE', 'Jörg.Straße', 'Ｊörg.Straße'];
  for (const spelling of spellings) {
    const { person, uid } = await visit(server, spelling.normalize('NFD'), ada);
    expect([spelling, (await person.provePassword(uid)).status]).toEqual([spelling, 200]);
    const twin = createPerson(server, spelling.normalize('NFC'));
    const taken = await twin.register(await begin(twin));
    expect([spelling, taken.status]).toEqual([spelling, 409]);
  }
  // Five wrong tries under five spellings use the account's limit up.
  for (const name of spellings) {
    const { person, uid } = await visit(server, name);
    expect((await person.loginInit(uid, { password: 'wrong wrong wrong' })).answer.status).toBe(200);
  }
  const { person, uid } = await visit(server, 'jörg.straße', ada);
  expect((await person.provePassword(uid)).status).toBe(429);
});

test('OPAQUE: that a name is taken is told only when a sign-up is finished', async () => {
  const dora = await signUp(server, 'dora');
  const eve = createPerson(server, 'dora', 'a password of somebody else');
  const init = (username: string, uid: string) =>
    eve.step(uid, 'register/init', { username, request: `A${'w'.repeat(43)}` });
  const uid = await begin(eve);
  const [taken, free] = [await init('dora', uid), await init('nobody-yet', uid)];
  expect(Object.keys(taken.headers)).toEqual(Object.keys(free.headers));
  expect([taken.status, Object.keys(taken.body)]).toEqual([free.status, Object.keys(free.body)]);
  const finished = await eve.register(await begin(eve), 'eve@example.org');
  expect([finished.status, finished.body.error]).toEqual([409, 'username_taken']);
  expect(finished.headers['set-cookie']).toBeUndefined();
  // Nothing of the account has changed: the old password still opens it, the new one does not.
  await afterPassword(server, dora);
  const { ke3 } = await eve.loginInit(await begin(eve));
  expect(ke3).toBeUndefined();
});

test('a sign-up is finished once, for the name it was begun with', async () => {
  const frank = createPerson(server, 'frank');
  const uid = await begin(frank);
  const first = await frank.register(uid);
  expect(first.status).toBe(200);
  const point = createECDH('prime256v1').generateKeys('base64url', 'compressed');
  const record = `${point}${'A'.repeat(128)}`;
  const again = await frank.step(uid, 'register/finish', { username: 'frank2', record });
  expect(again.status).toBe(400);
  const rows = await server.database.query("select id from accounts where username_key like 'frank%'");
  expect(rows).toHaveLength(1);
});

test('OPAQUE: a sign-up that was begun twice, in two tabs, can be finished from either, and its password works', async () => {
  const gina = createPerson(server, 'gina');
  const uid = await begin(gina);
  const first = await startRegistration(gina.password, IdentityMemHardFn);
  const init = (request: string) => gina.step(uid, 'register/init', { username: 'gina', request });
  const answer = await init(first.request);
  await init((await startRegistration('another password', IdentityMemHardFn)).request);
  const record = await first.finish(answer.body.response);
  expect((await gina.step(uid, 'register/finish', { username: 'gina', record })).status).toBe(200);
  expect((await gina.loginInit(await begin(gina))).ke3).toBeDefined();
});
