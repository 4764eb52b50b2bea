/**
 * Recovery codes whose making was committed and whose answer was lost: the same proof, or the same login step, shows them again
 * while it lives, on either instance, and to nobody else.
 */
import { request as httpRequest } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { codesOn, openAccount, postForm, prove, secretOn } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { generousTimeouts, hastyTimeouts } from '../support/databases.ts';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, begin, codeAt } from '../support/visits.ts';

let server: TestServer;
let other: TestServer;
async function start(timeouts = generousTimeouts): Promise<void> {
  server = await startServer({ clients: Object.values(apps), timeouts });
  other = await startServer({ clients: Object.values(apps), beside: server });
}
const stop = () => other.close().then(() => server.close());
beforeAll(() => start());
afterAll(stop);

async function withAccount(name: string): Promise<Person> {
  const person = createPerson(server, name);
  await openAccount(person);
  return person;
}

/** A browser to which an answer that was lost has brought no cookies: those of now, kept. */
function asOfNow(person: Person, path: string) {
  const cookie = cookieHeader(cookiesOf(person, path));
  return {
    get: (at: string, on = other) => request(on.url).get(at).set('cookie', cookie),
    /** Follows to the recovery codes where they are the answer. */
    async post(at: string, form: object = {}, on = other) {
      const headers = { cookie, origin: server.url, accept: 'text/html' };
      const answer = await request(on.url).post(at).set(headers).type('form').send(form);
      const { location = '' } = answer.headers;
      if (!/codes$/.test(location)) return answer;
      const set = (answer.headers['set-cookie'] as unknown as string[]).map((line) => line.split(';')[0]);
      const fresh = set.filter((pair) => pair?.includes('new_codes'));
      return request(on.url)
        .get(location)
        .set('cookie', [cookie, ...fresh].join('; '))
        .accept('html');
    },
  };
}

const entered = async (owner: Person, code: string): Promise<number> => {
  const { person, uid } = await afterPassword(server, owner);
  return (await person.step(uid, 'totp/verify', { code })).status;
};

const eventsOf = async ({ username }: Person, event: string) => {
  await Promise.all([server, other].map(({ audit }) => audit.flush()));
  return server.database.query(
    `select detail from audit_log join accounts on accounts.id = account_id
     where username = $1 and event = $2 order by at`,
    [username, event],
  );
};

test('new recovery codes are shown again to the proof that made them, and are the ones that work', async () => {
  const ada = await withAccount('ada');
  await prove(ada, 'recovery-codes');
  const before = asOfNow(ada, '/account');
  const lost = codesOn((await postForm(ada, 'recovery-codes')).text);
  expect(lost).toHaveLength(10);
  server.clock.advance(120);
  const again = await before.post('/account/recovery-codes');
  expect(codesOn(again.text)).toEqual(lost);
  expect(again.headers['cache-control']).toBe('no-store');
  expect(await eventsOf(ada, 'recovery_codes.replaced')).toEqual([
    { detail: { by: 'owner' } },
    { detail: { by: 'owner', again: true } },
  ]);
  // Who uses one has them all: from then on they are nobody's to be shown.
  expect(await entered(ada, lost[3] ?? '')).toBe(200);
  const used = await before.post('/account/recovery-codes');
  expect([used.status, codesOn(used.text)]).toEqual([401, []]);
});

test('not after the proof has expired, nor after another change, nor for another change or another session', async () => {
  const ben = await withAccount('ben');
  await prove(ben, 'recovery-codes');
  const first = asOfNow(ben, '/account');
  const codes = codesOn((await postForm(ben, 'recovery-codes')).text);
  const refused = async (browser: ReturnType<typeof asOfNow>, change = 'recovery-codes') => {
    const { status, text } = await browser.post(`/account/${change}`, { code: codeAt(server, ben) });
    expect.soft([status, codesOn(text)]).toEqual([401, []]);
  };
  await refused(first, 'authenticator');
  await prove(ben, 'recovery-codes');
  const second = asOfNow(ben, '/account');
  const secondProof = cookiesOf(ben, '/account').cypher_proof ?? '';
  const others = codesOn((await postForm(ben, 'recovery-codes')).text);
  expect(others.filter((code) => codes.includes(code))).toEqual([]);
  await refused(first);

  const elsewhere = createPerson(server, 'ben');
  elsewhere.totpSecret = ben.totpSecret;
  await openAccount(elsewhere);
  const { cypher_proof: _, ...session } = cookiesOf(elsewhere, '/account');
  const foreign = { ...session, cypher_proof: secondProof };
  const stolen = await postForm(elsewhere, 'recovery-codes', {}, { cookie: cookieHeader(foreign) });
  expect([stolen.status, codesOn(stolen.text)]).toEqual([401, []]);

  server.clock.advance(181);
  await refused(second);
});

test('a new authenticator’s recovery codes are shown again to its proof, for a code of the new one', async () => {
  const cleo = await withAccount('cleo');
  await prove(cleo, 'authenticator');
  const before = asOfNow(cleo, '/account');
  const secret = secretOn((await cleo.agent.get('/account/authenticator')).text);
  const old = codeAt(server, cleo);
  cleo.totpSecret = secret;
  const lost = codesOn((await postForm(cleo, 'authenticator', { code: cleo.code() })).text);
  expect(lost).toHaveLength(10);
  expect((await before.post('/account/authenticator', { code: old })).status).toBe(401);
  // The page offers the same secret still; the same code does, and that of a later step.
  expect(secretOn((await before.get('/account/authenticator')).text)).toBe(secret);
  for (const steps of [0, 1]) {
    const again = await before.post('/account/authenticator', { code: codeAt(server, cleo, steps) });
    expect(codesOn(again.text)).toEqual(lost);
  }
  // It was shown, not set again: the code that confirmed it stays used.
  expect(await entered(cleo, codeAt(server, cleo))).toBe(401);
  await prove(cleo, 'recovery-codes');
  await postForm(cleo, 'recovery-codes');
  const after = await before.post('/account/authenticator', { code: codeAt(server, cleo, 1) });
  expect([after.status, codesOn(after.text)]).toEqual([401, []]);
});

test('another login step is shown nothing, whoever’s; nor is this one once it has expired or a code was used', async () => {
  const eve = createPerson(server, 'eve');
  const uid = await begin(eve);
  await eve.register(uid);
  const step = asOfNow(eve, `/interaction/${uid}`);
  const { body } = await eve.setUpTotp(uid);
  expect(body.recovery_codes).toHaveLength(10);
  const at = `/interaction/${uid}/totp/verify-setup`;

  const thief = await afterPassword(server, eve);
  const stolen = await thief.person.step(thief.uid, 'totp/verify-setup', { code: codeAt(server, eve) });
  expect([stolen.status, stolen.body.recovery_codes]).toEqual([409, undefined]);
  const page = await thief.person.agent.get(`/interaction/${thief.uid}`);
  expect(secretOn(page.text)).toBe('');

  expect(codesOn((await step.post(at, { code: codeAt(server, eve) })).text)).toEqual(body.recovery_codes);
  expect(await entered(eve, body.recovery_codes[0])).toBe(200);
  const used = await step.post(at, { code: codeAt(server, eve) });
  expect([used.status, codesOn(used.text)]).toEqual([409, []]);
  server.clock.advance(181);
  const late = await step.post(at, { code: codeAt(server, eve) });
  expect([late.status, codesOn(late.text)]).toEqual([401, []]);
});

test('a code that is still on its way when the password is changed is shown nothing', async () => {
  const finn = createPerson(server, 'finn');
  const uid = await begin(finn);
  await finn.register(uid);
  const cookie = cookieHeader(cookiesOf(finn, `/interaction/${uid}`));
  await finn.setUpTotp(uid);
  const body = JSON.stringify({ code: codeAt(server, finn) });
  const slowly = async (meanwhile: () => Promise<unknown>) => {
    const sent = httpRequest(`${server.url}/interaction/${uid}/totp/verify-setup`, {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/json', 'content-length': body.length },
    });
    const answered = new Promise<string>((resolve, reject) =>
      sent.on('error', reject).on('response', (response) => resolve(text(response))),
    );
    sent.write(body.slice(0, 5));
    // Until the account has been read.
    await sleep(300);
    await meanwhile();
    sent.end(body.slice(5));
    return JSON.parse(await answered);
  };
  expect((await slowly(async () => {})).recovery_codes).toHaveLength(10);
  const changed = () =>
    server.database.query("update accounts set credential_id = 'another' where username = 'finn'");
  expect(await slowly(changed)).toMatchObject({ error: 'login_step_required' });
});

describe('a server that gives up soon', () => {
  beforeAll(() => stop().then(() => start(hastyTimeouts)));

  test('a sign-up that was confirmed and then answered with 503 shows its recovery codes again, and ends signed in', async () => {
    const dan = createPerson(server, 'dan');
    const uid = await begin(dan);
    await dan.register(uid);
    dan.totpSecret = (await dan.step(uid, 'totp/setup', {})).body.secret;
    const code = dan.code();
    const answer = await other.database.transaction(async (query) => {
      // What finishes the login has to wait for longer than a request may.
      await query('lock table ephemeral in share mode');
      return dan.step(uid, 'totp/verify-setup', { code });
    });
    expect(answer.status).toBe(503);
    const rows = await other.database.query(
      `select cardinality(code_hashes) as codes from unused_recovery_codes join accounts on id = account_id
       where username = 'dan'`,
    );
    expect(rows).toEqual([{ codes: 10 }]);

    const before = asOfNow(dan, `/interaction/${uid}`);
    const page = await before.get(`/interaction/${uid}`);
    expect(secretOn(page.text)).toBe(dan.totpSecret);
    const wrong = await before.post(`/interaction/${uid}/totp/verify-setup`, { code: '000000' });
    expect([wrong.status, secretOn(wrong.text)]).toEqual([401, dan.totpSecret]);
    const shown = codesOn((await before.post(`/interaction/${uid}/totp/verify-setup`, { code })).text);
    expect(shown).toHaveLength(10);

    // That answer is lost too. The first instance asks PostgreSQL again after a moment, and its answer has the same codes, and the way on.
    await vi.waitFor(() => server.database.query('select 1'), { timeout: 60_000 });
    const again = await dan.step(uid, 'totp/verify-setup', { code });
    expect([again.status, again.body.recovery_codes]).toEqual([200, shown]);
    const back = await dan.follow(new URL(again.body.location));
    expect(back.searchParams.get('code')).toBeTruthy();
    expect((await before.post(`/interaction/${uid}/totp/verify-setup`, { code })).status).toBe(400);
    expect(await entered(dan, shown[0] ?? '')).toBe(200);
  });
});
