/** The proof in front of every change at the account page: what passes for one, once, and that nobody can guess at it. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { codesOn, newRecord, openAccount, postForm, proofInit, prove } from '../support/account_page.ts';
import { altered } from '../support/altered.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { begin, visit } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const password = 'a staple battery that horses correct';

async function withAccount(name: string): Promise<Person> {
  const person = createPerson(server, name);
  await openAccount(person);
  return person;
}

const proofOf = (person: Person): string => cookiesOf(person, '/account').cypher_proof ?? '';

/** What the start of a password change answers to this browser with `proof` as its proof. */
async function withProof(person: Person, proof: string): Promise<unknown[]> {
  const cookie = cookieHeader({ ...cookiesOf(person, '/'), cypher_proof: proof });
  const bare = createPerson(server, person.username);
  bare.agent.set('cookie', cookie);
  const { answer } = await newRecord(bare, password);
  return [answer.status, answer.body.error];
}

const refused = [401, 'proof_required'];
const accepted = [200, undefined];

test('a proof is good for its kind of change, its session and its account alone', async () => {
  const person = await withAccount('ann');
  await prove(person, 'password');
  const proof = proofOf(person);
  expect(await withProof(person, proof)).toEqual(accepted);
  await prove(person, 'recovery-codes');
  expect(await withProof(person, proofOf(person))).toEqual(refused);
  const page = await person.agent.get('/account/password');
  expect(page.text).toContain('Confirm that it is you');

  const elsewhere = Object.assign(createPerson(server, 'ann'), { totpSecret: person.totpSecret });
  await openAccount(elsewhere);
  expect(await withProof(elsewhere, proof)).toEqual(refused);
  expect(await withProof(await withAccount('ann-other'), proof)).toEqual(refused);
  expect(await withProof(person, altered(proof, 40))).toEqual(refused);
});

test('a proof lives 180 seconds, in a cookie that no script and no other site can use', async () => {
  const person = await withAccount('ben');
  const proved = await prove(person, 'password');
  const [set = ''] = [proved.headers['set-cookie']].flat().map(String);
  expect(set).toMatch(/^cypher_proof=v4\.local\.[^;]+; path=\/account; /);
  expect(set).toContain('; samesite=strict; httponly');
  const proof = proofOf(person);
  server.clock.advance(175);
  expect(await withProof(person, proof)).toEqual(accepted);
  server.clock.advance(6);
  expect(await withProof(person, proof)).toEqual(refused);
});

test('a proof is used up by its change: again, or in parallel, it changes nothing, and then it is worth nothing', async () => {
  const person = await withAccount('cleo');
  await prove(person, 'recovery-codes');
  const cookies = cookieHeader(cookiesOf(person, '/account'));
  const answers = await Promise.all(
    Array.from({ length: 3 }, () => postForm(person, 'recovery-codes', {}, { cookie: cookies })),
  );
  expect(new Set(answers.map(({ text }) => codesOn(text).join())).size).toBe(1);
  const codes = codesOn(answers[0]?.text ?? '');
  expect(codes).toHaveLength(10);
  const login = await visit(server, 'cleo', person);
  await login.person.provePassword(login.uid);
  expect((await login.person.step(login.uid, 'totp/verify', { code: codes[0] })).status).toBe(200);
  const again = await postForm(person, 'recovery-codes', {}, { cookie: cookies });
  expect(again.status).toBe(401);
  expect(again.text).toContain('Confirm that it is you');
});

test('a login step is no proof, and a proof is no login step', async () => {
  const person = await withAccount('dan');
  const { person: atLogin, uid } = await visit(server, 'dan', person);
  await atLogin.provePassword(uid);
  const step = cookiesOf(atLogin, `/interaction/${uid}`).cypher_step ?? '';
  expect(step).toMatch(/^v4\.local\./);
  expect(await withProof(person, step)).toEqual(refused);

  await prove(person, 'password');
  const cookie = cookieHeader({ ...cookiesOf(atLogin, `/interaction/${uid}`), cypher_step: proofOf(person) });
  const verify = await createPerson(server, 'dan')
    .agent.post(`/interaction/${uid}/totp/verify`)
    .set('cookie', cookie)
    .send({ code: person.code() });
  expect([verify.status, verify.body.error]).toEqual([401, 'login_step_required']);
});

test('Rate limits: wrong passwords here count to the login’s, and those of the login here', async () => {
  const person = await withAccount('eva');
  for (let tries = 0; tries < 3; tries += 1)
    expect((await proofInit(person, 'password', 'a wrong password')).ke3).toBeUndefined();
  const uid = await begin(person, apps.intranet, { prompt: 'login' });
  for (let tries = 0; tries < 2; tries += 1) await person.loginInit(uid, { password: 'a wrong password' });
  const { answer } = await proofInit(person, 'authenticator');
  expect([answer.status, answer.body.error]).toEqual([429, 'too_many_requests']);
  expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  expect((await person.loginInit(uid)).answer.status).toBe(429);
  await server.audit.flush();
  const [blocked] = await server.database.query<{ detail: object }>(
    "select detail from audit_log where event = 'login.blocked' order by id limit 1",
  );
  expect(blocked?.detail).toEqual({ step: 'account/proof/init' });
});

test('Rate limits: who has the password cannot guess codes without limit', async () => {
  const person = await withAccount('fay');
  const outcomes: number[] = [];
  for (let tries = 0; tries < 8; tries += 1)
    outcomes.push((await prove(person, 'authenticator', '000000')).status);
  expect(outcomes).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
  expect((await person.agent.get('/account/authenticator')).text).toContain('Confirm that it is you');
});

test('a code that a proof has used is used: for a login and for another proof', async () => {
  const person = await withAccount('gus');
  const code = person.code();
  expect((await prove(person, 'password', code)).status).toBe(200);
  expect((await prove(person, 'authenticator', code)).status).toBe(401);
  const [recovery = ''] = person.recoveryCodes;
  expect((await prove(person, 'authenticator', recovery)).status).toBe(200);
  expect((await prove(person, 'recovery-codes', recovery)).status).toBe(401);
  expect((await person.agent.get('/account')).text).toContain('9 left');
});
