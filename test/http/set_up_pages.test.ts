/** Setting an authenticator up takes its time, and the recovery codes that come of it stay on their page through a reload. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { codesOn, openAccount, prove, secretOn } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, begin, codeAt, signUp } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const form = ({ agent }: Person, path: string, fields: object) =>
  agent.post(path).type('form').accept('html').send(fields);
const get = ({ agent }: Person, path: string) => agent.get(path).accept('html');

test('sign-up: a quarter of an hour for the authenticator; its recovery codes are shown by GET, until the browser goes on', async () => {
  const ada = createPerson(server, 'ada');
  const uid = await begin(ada);
  const at = `/interaction/${uid}`;
  await ada.register(uid);
  ada.totpSecret = secretOn((await get(ada, at)).text);
  server.clock.advance(13 * 60);
  expect(secretOn((await get(ada, at)).text)).toBe(ada.totpSecret);
  const confirmed = await form(ada, `${at}/totp/verify-setup`, { code: ada.code() });
  expect([confirmed.status, confirmed.headers.location]).toEqual([303, `${at}/recovery-codes`]);
  const shown = await get(ada, `${at}/recovery-codes`);
  const codes = codesOn(shown.text);
  expect([shown.status, codes.length, shown.headers['cache-control']]).toEqual([200, 10, 'no-store']);
  expect(shown.text).toContain(`method="post" action="${at}/recovery-codes"`);
  expect(codesOn((await get(ada, `${at}/recovery-codes`)).text)).toEqual(codes);
  // The Back button leads to them as well.
  expect((await get(ada, at)).headers.location).toBe(`${at}/recovery-codes`);
  expect((await get(createPerson(server, 'eve'), `${at}/recovery-codes`)).status).toBe(400);
  const kept = await form(ada, `${at}/recovery-codes`, {});
  expect([kept.status, kept.headers.refresh]).toEqual([200, `0;url=${server.url}/auth/${uid}`]);
  const back = await ada.agent.get(`/auth/${uid}`);
  expect(back.headers.location).toContain('code=');
  const over = await get(ada, `${at}/recovery-codes`);
  expect([codesOn(over.text), over.text.includes('You are signed in')]).toEqual([[], true]);
});

test('a sign-in whose account needs a set-up has the same time, and any other no more than before', async () => {
  const bob = createPerson(server, 'bob');
  await bob.register(await begin(bob));
  const uid = await begin(bob);
  await bob.provePassword(uid);
  server.clock.advance(14 * 60);
  expect(secretOn((await get(bob, `/interaction/${uid}`)).text)).not.toBe('');
  server.clock.advance(2 * 60);
  expect((await get(bob, `/interaction/${uid}`)).text).toContain('current-password');

  // A password that was given time for a set-up does not wait as long for a code once there is an authenticator.
  const early = await begin(bob);
  await bob.provePassword(early);
  const other = await begin(bob);
  await bob.provePassword(other);
  await bob.setUpTotp(other);
  expect((await get(bob, `/interaction/${early}`)).text).toContain('Enter your code');
  server.clock.advance(180);
  expect((await get(bob, `/interaction/${early}`)).text).toContain('current-password');
  const late = await bob.step(early, 'totp/verify', { code: codeAt(server, bob, 1) });
  expect([late.status, late.body.error]).toEqual([401, 'login_step_required']);
});

test('account page: a quarter of an hour for another authenticator, and new recovery codes through a reload', async () => {
  const cleo = createPerson(server, 'cleo');
  await openAccount(cleo);
  await prove(cleo, 'authenticator');
  server.clock.advance(13 * 60);
  const setup = await get(cleo, '/account/authenticator');
  cleo.totpSecret = secretOn(setup.text);
  for (const change of ['authenticator', 'recovery-codes'] as const) {
    if (change === 'recovery-codes') await prove(cleo, change);
    const changed = await form(cleo, `/account/${change}`, { code: codeAt(server, cleo) });
    expect([changed.status, changed.headers.location]).toEqual([303, '/account/new-codes']);
    const first = codesOn((await get(cleo, '/account/new-codes')).text);
    expect(first).toHaveLength(10);
    expect(codesOn((await get(cleo, '/account/new-codes')).text)).toEqual(first);
    server.clock.advance(30);
  }
  // Another change asks for its own proof, and once their time is over they are shown no more.
  expect((await get(cleo, '/account/recovery-codes')).text).toContain('Confirm that it is you');
  server.clock.advance(16 * 60);
  expect((await get(cleo, '/account/new-codes')).headers.location).toBe('/account');
  await prove(cleo, 'password');
  server.clock.advance(181);
  expect((await get(cleo, '/account/password')).text).toContain('Confirm that it is you');
});

test('the page asks for the code by the name that the authenticator shows, and posted addresses lead to their pages', async () => {
  const dora = await signUp(server, 'dora');
  const { person, uid } = await afterPassword(server, dora);
  const label = new URL(server.url).host;
  expect((await get(person, `/interaction/${uid}`)).text).toContain(`>${label}<`);
  const set = await person.step(uid, 'totp/setup', {});
  expect(set.status).toBe(409);
  const eve = createPerson(server, 'eva');
  const at = await begin(eve);
  await eve.register(at);
  const { body } = await eve.step(at, 'totp/setup', {});
  expect(new URL(body.otpauth_uri).searchParams.get('issuer')).toBe(label);
  await eve.setUpTotp(at);
  await openAccount(eve);
  for (const path of [
    'sessions/end',
    'sessions/end-all',
    'apps/remove',
    'password/init',
    'password/finish',
    'authenticator/proof/init',
    'password/proof/finish',
  ]) {
    const answer = await get(eve, `/account/${path}`);
    expect.soft([path, answer.status]).toEqual([path, 303]);
    expect.soft(answer.headers.location).toMatch(/^\/account/);
  }
});
