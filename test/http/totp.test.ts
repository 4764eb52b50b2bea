/** The second factor under attack: codes used again, guessed, of other steps; set-up without a proof; recovery codes. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, begin, codeAt, signUp, type Visit, visit } from '../support/visits.ts';

let server: TestServer;
let other: TestServer;
let guarded: TestServer;
beforeAll(async () => {
  const options = { clients: Object.values(apps), settings: { LIMIT_ACCOUNT_FAILURES: '1000' } };
  server = await startServer(options);
  other = await startServer({ ...options, beside: server });
  guarded = await startServer({ clients: Object.values(apps) });
});
afterAll(() => Promise.all([other.close().then(() => server.close()), guarded.close()]));

const verify = async ({ person, uid }: Visit, code: string | undefined) => {
  const { status, body } = await person.step(uid, 'totp/verify', { code });
  return status === 200 ? 'in' : body.error;
};

/** The same post `times` times at once, through both instances; how often each answer came. */
async function atOnce(visits: Visit[], times: number, codes: string[], action = 'totp/verify') {
  const answers = await Promise.all(
    Array.from({ length: times }, (_, index) => {
      const { person, uid } = visits[index % visits.length] as Visit;
      return request([server.url, other.url][index % 2] as string)
        .post(`/interaction/${uid}/${action}`)
        .set('Cookie', cookieHeader(cookiesOf(person, `/interaction/${uid}`)))
        .send({ code: codes[index % codes.length] });
    }),
  );
  return answers.map(({ status }) => status).sort();
}

test('TOTP: the same code twice is refused', async () => {
  const ada = await signUp(server, 'ada');
  const used = codeAt(server, ada);
  expect(await verify(await afterPassword(server, ada), used)).toBe('invalid_code');
  const code = ada.code();
  expect(await verify(await afterPassword(server, ada), code)).toBe('in');
  expect(await verify(await afterPassword(server, ada), code)).toBe('invalid_code');
});

test('TOTP: the same code 50 times in parallel, in several logins, lets one in', async () => {
  const bob = await signUp(server, 'bob');
  const visits = await Promise.all(Array.from({ length: 5 }, () => afterPassword(server, bob)));
  const statuses = await atOnce(visits, 50, [bob.code()]);
  expect(statuses.filter((status) => status === 200)).toHaveLength(1);
  // Past a few at once of one person, the others are not kept waiting.
  expect(statuses.filter((status) => ![200, 401, 429].includes(status))).toEqual([]);
});

test('TOTP: one step of drift either way, and never a step before the last one used', async () => {
  const carol = await signUp(server, 'carol');
  server.clock.advance(600);
  const next = () => afterPassword(server, carol);
  for (const steps of [-3, -2, 2, 3]) {
    expect([steps, await verify(await next(), codeAt(server, carol, steps))]).toEqual([
      steps,
      'invalid_code',
    ]);
  }
  for (const steps of [-1, 0, 1]) {
    expect([steps, await verify(await next(), codeAt(server, carol, steps))]).toEqual([steps, 'in']);
  }
  server.clock.advance(600);
  expect(await verify(await next(), codeAt(server, carol, 1))).toBe('in');
  expect(await verify(await next(), codeAt(server, carol, 0))).toBe('invalid_code');
  expect(await verify(await next(), codeAt(server, carol, -1))).toBe('invalid_code');
  // Nor when the step that was used is the present one.
  server.clock.advance(30);
  expect(await verify(await next(), codeAt(server, carol, -1))).toBe('invalid_code');
});

test('TOTP: of 1,000 parallel guesses only as many as the limit are evaluated', async () => {
  const dora = await signUp(guarded, 'dora');
  const { person, uid } = await afterPassword(guarded, dora);
  const right = dora.code();
  const wrong = Array.from({ length: 1000 }, (_, index) => String((Number(right) + 1 + index) % 1_000_000));
  const answers = await Promise.all(
    wrong.map((code) => person.step(uid, 'totp/verify', { code: code.padStart(6, '0') })),
  );
  const statuses = answers.map(({ status }) => status);
  const evaluated = statuses.filter((status) => status === 401);
  expect(evaluated.length).toBeGreaterThan(0);
  expect(evaluated.length).toBeLessThanOrEqual(5);
  // So many at once may be more than there is time for: those are not looked at either.
  const refused = statuses.filter((status) => status !== 401);
  expect([...new Set(refused)].filter((status) => status !== 429 && status !== 503)).toEqual([]);
  expect(await verify({ person, uid }, right)).toBe('too_many_requests');
});

test('TOTP: a login that proved only the password cannot replace a confirmed authenticator', async () => {
  const eve = await signUp(server, 'eve');
  const kept = () =>
    server.database.query(
      `select totp_secret, totp_last_step, code_hashes from accounts join unused_recovery_codes on account_id = id
       where username_key = 'eve'`,
    );
  const before = await kept();
  const { person, uid } = await afterPassword(server, eve);
  const setup = await person.step(uid, 'totp/setup', {});
  expect([setup.status, setup.body.secret]).toEqual([409, undefined]);
  const page = await person.agent.get(`/interaction/${uid}`);
  expect(page.text).not.toContain('totp-secret');
  const confirmed = await person.step(uid, 'totp/verify-setup', { code: codeAt(server, eve, 1) });
  expect([confirmed.status, confirmed.body.recovery_codes]).toEqual([409, undefined]);
  expect(await kept()).toEqual(before);
  expect(before).toEqual([expect.objectContaining({ code_hashes: Array(10).fill(expect.anything()) })]);
});

test('TOTP: the set-up needs the login-step token, and an unconfirmed secret does nothing', async () => {
  const frank = createPerson(server, 'frank');
  const uid = await begin(frank);
  await frank.register(uid);
  frank.totpSecret = (await frank.step(uid, 'totp/setup', {})).body.secret;
  const stranger = await visit(server, 'frank');
  expect((await stranger.person.step(stranger.uid, 'totp/setup', {})).status).toBe(401);
  // The password again, elsewhere: a code of the offered secret is no second factor, not here and not as a set-up.
  const elsewhere = await afterPassword(server, frank);
  expect(await verify(elsewhere, codeAt(server, frank))).toBe('wrong_step');
  const foreign = await elsewhere.person.step(elsewhere.uid, 'totp/verify-setup', {
    code: codeAt(server, frank),
  });
  expect([foreign.status, foreign.body.error]).toEqual([401, 'invalid_code']);
  const rows = await server.database.query(
    "select 1 from accounts where username_key = 'frank' and totp_secret is not null",
  );
  expect(rows).toEqual([]);
});

test('an account whose authenticator is unconfirmed goes on with the set-up after its next password', async () => {
  const gina = createPerson(server, 'gina');
  await gina.register(await begin(gina));
  const { person, uid } = await afterPassword(server, gina);
  expect((await person.agent.get(`/interaction/${uid}`)).text).toContain('data-testid="totp-secret"');
  expect((await person.setUpTotp(uid)).body.recovery_codes).toHaveLength(10);
  expect(await verify(await afterPassword(server, gina), person.code())).toBe('in');
});

test('TOTP: of two browsers that set up one account at once, one wins', async () => {
  const hugo = createPerson(server, 'hugo');
  await hugo.register(await begin(hugo));
  const visits = await Promise.all([1, 2, 3, 4].map(() => afterPassword(server, hugo)));
  for (const { person, uid } of visits) {
    person.totpSecret = (await person.step(uid, 'totp/setup', {})).body.secret;
  }
  expect(new Set(visits.map(({ person }) => person.totpSecret)).size).toBe(4);
  const answers = await Promise.all(
    visits.map(({ person, uid }) => person.step(uid, 'totp/verify-setup', { code: codeAt(server, person) })),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(3).fill(expect.any(Number))]);
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  for (const [index, { person }] of visits.entries()) {
    const expected = answers[index]?.status === 200 ? 'in' : 'invalid_code';
    expect(await verify(await afterPassword(server, hugo), codeAt(server, person, 1))).toBe(expected);
  }
  const rows = await server.database.query(
    `select cardinality(code_hashes) as codes from unused_recovery_codes join accounts on id = account_id
     where username_key = $1`,
    ['hugo'],
  );
  expect(rows).toEqual([{ codes: 10 }]);
});

test('TOTP: the login-step token ends after 180 seconds', async () => {
  const ida = await signUp(server, 'ida');
  const { person, uid } = await afterPassword(server, ida);
  server.clock.advance(179 - 30);
  expect(await verify({ person, uid }, '000000')).toBe('invalid_code');
  server.clock.advance(2);
  expect(await verify({ person, uid }, person.code())).toBe('login_step_required');
  expect((await person.agent.get(`/interaction/${uid}`)).text).toContain('current-password');
});

test('TOTP: the login-step token works once, in its interaction, in its browser', async () => {
  const jana = await signUp(server, 'jana');
  const first = await afterPassword(server, jana);
  const cookies = cookiesOf(first.person, `/interaction/${first.uid}`);
  expect(Object.keys(cookies)).toContain('cypher_step');
  const post = (uid: string, sent: Record<string, string>) =>
    request(server.url)
      .post(`/interaction/${uid}/totp/verify`)
      .set('Cookie', cookieHeader(sent))
      .send({ code: jana.code() });
  const second = await visit(server, 'jana', jana);
  const own = cookiesOf(second.person, `/interaction/${second.uid}`);
  const moved = await post(second.uid, { ...own, cypher_step: cookies.cypher_step ?? '' });
  expect([moved.status, moved.body.error]).toEqual([401, 'login_step_required']);
  const stolen = await post(first.uid, { ...own, cypher_step: cookies.cypher_step ?? '' });
  expect([stolen.status, stolen.body.error]).toEqual([400, 'interaction_expired']);
  expect((await post(first.uid, cookies)).status).toBe(200);
  const again = await post(first.uid, cookies);
  expect([again.status, again.body.error]).toEqual([401, 'login_step_required']);
});
