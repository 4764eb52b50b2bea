/** The authenticator and the recovery codes are replaced at the account page. */
import { generateSync } from 'otplib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { codesOn, openAccount, postForm, prove, secretOn } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { codeAt, visit } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

async function withAccount(name: string): Promise<Person> {
  const person = createPerson(server, name);
  await openAccount(person);
  return person;
}

/** The status of a login with this code after the right password, in a browser of its own. */
async function loginWith(owner: Person, code: string): Promise<number> {
  const { person, uid } = await visit(server, owner.username, owner);
  await person.provePassword(uid);
  return (await person.step(uid, 'totp/verify', { code })).status;
}

const codeOf = (secret: string): string =>
  generateSync({ secret, epoch: Math.floor(server.clock.now() / 1000) });

test('a new authenticator takes the place of the old one when a code of it comes, not before', async () => {
  const person = await withAccount('ann');
  const { totpSecret: old, recoveryCodes } = person;
  await prove(person, 'authenticator');
  const page = await person.agent.get('/account/authenticator');
  const secret = secretOn(page.text);
  expect(secret).toMatch(/^[A-Z2-7]{32}$/);
  expect(secret).not.toBe(old);
  expect(secretOn((await person.agent.get('/account/authenticator')).text)).toBe(secret);

  // Looked at, and a wrong code given: the old one is in use as before, and the new one is worth nothing.
  const wrong = await postForm(person, 'authenticator', { code: '000000' });
  expect(wrong.status).toBe(401);
  expect(wrong.text).toContain('This code is wrong');
  expect(secretOn(wrong.text)).toBe(secret);
  server.clock.advance(30);
  expect(await loginWith(person, codeOf(secret))).toBe(401);
  expect(await loginWith(person, codeAt(server, person))).toBe(200);

  server.clock.advance(30);
  const confirming = codeOf(secret);
  const done = await postForm(person, 'authenticator', { code: confirming });
  expect(done.status).toBe(200);
  expect(done.headers['cache-control']).toBe('no-store');
  const codes = codesOn(done.text);
  expect(codes).toHaveLength(10);
  // The session that did it goes on; the code that confirmed is used.
  expect((await person.agent.get('/account')).text).toContain('10 left');
  expect(await loginWith(person, confirming)).toBe(401);
  server.clock.advance(30);
  expect(await loginWith(person, codeAt(server, person))).toBe(401);
  expect(await loginWith(person, recoveryCodes[0] ?? '')).toBe(401);
  expect(await loginWith(person, codeOf(secret))).toBe(200);
  expect(await loginWith(person, codes[0] ?? '')).toBe(200);
});

test('of parallel confirmations one replaces, and all show its codes; another proof offers another secret', async () => {
  const person = await withAccount('ben');
  await prove(person, 'authenticator');
  const secret = secretOn((await person.agent.get('/account/authenticator')).text);
  server.clock.advance(30);
  const answers = await Promise.all(
    Array.from({ length: 3 }, () => postForm(person, 'authenticator', { code: codeOf(secret) })),
  );
  expect(new Set(answers.map(({ text }) => codesOn(text).join())).size).toBe(1);
  expect(codesOn(answers[0]?.text ?? '')).toHaveLength(10);
  person.totpSecret = secret;
  expect((await prove(person, 'authenticator')).status).toBe(200);
  expect(secretOn((await person.agent.get('/account/authenticator')).text)).not.toBe(secret);
});

test('a password alone never reaches the set-up', async () => {
  const person = await withAccount('cleo');
  expect(secretOn((await person.agent.get('/account/authenticator')).text)).toBe('');
  const guess = await postForm(person, 'authenticator', { code: person.code() });
  expect(guess.status).toBe(401);
  expect(secretOn(guess.text)).toBe('');
  const { person: atLogin, uid } = await visit(server, 'cleo', person);
  await atLogin.provePassword(uid);
  expect((await atLogin.agent.get('/account/authenticator')).status).toBe(303);
});

test('new recovery codes take the place of all old ones, and the audit log tells of each change', async () => {
  const person = await withAccount('dan');
  await prove(person, 'recovery-codes');
  const page = await person.agent.get('/account/recovery-codes');
  // Looking changes nothing.
  expect(codesOn(page.text)).toEqual([]);
  const codes = codesOn((await postForm(person, 'recovery-codes')).text);
  expect(await loginWith(person, person.recoveryCodes[1] ?? '')).toBe(401);
  expect(await loginWith(person, codes[1] ?? '')).toBe(200);
  await server.audit.flush();
  const events = await server.database.query<{ event: string; detail: object }>(
    "select event, detail from audit_log where event in ('totp.replaced', 'recovery_codes.replaced', 'proof.given') order by id desc limit 2",
  );
  expect(events).toEqual([
    { event: 'recovery_codes.replaced', detail: { by: 'owner' } },
    { event: 'proof.given', detail: { by: 'owner', change: 'recovery-codes', factor: 'otp' } },
  ]);
  expect(await server.metrics.registry.metrics()).toContain(
    'cypher_account_actions_total{action="recovery-codes",outcome="ok"}',
  );
});
