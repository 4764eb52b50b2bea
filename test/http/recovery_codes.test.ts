/** Recovery codes, and what a login says of itself: `amr` and `acr` by what really happened. */
import { decodeJwt } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { asApp, createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, begin, signUp } from '../support/visits.ts';

let server: TestServer;
let other: TestServer;
beforeAll(async () => {
  const options = { clients: Object.values(apps), settings: { LIMIT_ACCOUNT_FAILURES: '1000' } };
  server = await startServer(options);
  other = await startServer({ ...options, beside: server });
});
afterAll(() => other.close().then(() => server.close()));

async function use(owner: Person, code: string | undefined) {
  const { person, uid } = await afterPassword(server, owner);
  return person.step(uid, 'totp/verify', { code });
}

test('TOTP: a recovery code works once, however it is typed', async () => {
  const ada = await signUp(server, 'ada');
  const [first = '', second = ''] = ada.recoveryCodes;
  expect(new Set(ada.recoveryCodes).size).toBe(10);
  expect((await use(ada, ` ${first.toUpperCase().replaceAll('-', ' ')} `)).status).toBe(200);
  const again = await use(ada, first);
  expect([again.status, again.body.error]).toEqual([401, 'invalid_code']);
  expect((await use(ada, second)).status).toBe(200);
});

test('TOTP: a recovery code 50 times in parallel, in several logins, lets one in', async () => {
  const bob = await signUp(server, 'bob');
  const visits = await Promise.all([1, 2, 3, 4, 5].map(() => afterPassword(server, bob)));
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => visits)
      .flat()
      .map(({ person, uid }, index) =>
        request(index % 2 ? other.url : server.url)
          .post(`/interaction/${uid}/totp/verify`)
          .set('Cookie', cookieHeader(cookiesOf(person, `/interaction/${uid}`)))
          .send({ code: bob.recoveryCodes[0] }),
      ),
  );
  const statuses = answers.map(({ status }) => status);
  expect(statuses.filter((status) => status === 200)).toHaveLength(1);
  expect(statuses.filter((status) => ![200, 401, 429].includes(status))).toEqual([]);
});

test('TOTP: one account opens with its own recovery codes alone', async () => {
  const [carol, dora] = [await signUp(server, 'carol'), await signUp(server, 'dora')];
  expect((await use(carol, dora.recoveryCodes[0])).status).toBe(401);
  expect((await use(dora, dora.recoveryCodes[0])).status).toBe(200);
});

test('TOTP: recovery codes and secrets are in no column of the database', async () => {
  const eve = await signUp(server, 'eve');
  const tables = await server.database.query<{ name: string }>(
    "select quote_ident(tablename) as name from pg_tables where schemaname = 'public'",
  );
  let dump = '';
  for (const { name } of tables) {
    const rows = await server.database.query<{ row: string }>(`select t::text as row from ${name} t`);
    dump += rows.map(({ row }) => row).join('\n');
  }
  // bytea is written in hexadecimal.
  const found = (value: string) => dump.includes(value) || dump.includes(Buffer.from(value).toString('hex'));
  expect(found('eve')).toBe(true);
  for (const secret of [eve.totpSecret, eve.password]) expect(found(secret)).toBe(false);
  for (const code of eve.recoveryCodes) {
    expect(found(code) || found(code.replaceAll('-', ''))).toBe(false);
  }
});

test.each([
  ['a code of the authenticator', (owner: Person) => owner.code(), ['pwd', 'otp', 'mfa']],
  ['a recovery code', (owner: Person) => String(owner.recoveryCodes[0]), ['pwd', 'mfa']],
])('amr, acr and auth_time are true after %s', async (name, codeOf, amr) => {
  const owner = await signUp(server, `person-${name.length}`);
  const browser = createPerson(server, owner.username);
  const uid = await begin(browser);
  await browser.provePassword(uid);
  const code = codeOf(owner);
  const before = Math.floor(server.clock.now() / 1000);
  const { body } = await browser.step(uid, 'totp/verify', { code });
  const back = await browser.follow(new URL(body.location));
  const tokens = await asApp(server, apps.intranet, {
    grant_type: 'authorization_code',
    code: String(back.searchParams.get('code')),
    redirect_uri: apps.intranet.redirect_uri,
  });
  const claims = decodeJwt(tokens.body.id_token);
  expect([claims.amr, claims.acr]).toEqual([amr, 'urn:cypher:acr:mfa']);
  expect(claims.auth_time).toBeGreaterThanOrEqual(before);
  expect(claims.auth_time).toBeLessThanOrEqual(before + 5);
});
