/** Refresh families through two instances on one database: one use, one successor, one end. */
import type request from 'supertest';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { apps } from '../support/apps.ts';
import { type App, asApp, createPerson, isAlive, type TokenAnswer } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, spa, intranet } = apps;
const clients = Object.values(apps);
let server: TestServer;
let other: TestServer;
let strict: TestServer;
beforeAll(async () => {
  server = await startServer({ clients });
  other = await startServer({ clients, beside: server });
  strict = await startServer({ clients, beside: server, settings: { REFRESH_LEEWAY_SECONDS: '0' } });
});
afterEach(() => vi.useRealTimers());
afterAll(async () => {
  await strict.close();
  await other.close();
  await server.close();
});

let people = 0;
const somebody = () => createPerson(server, `person-${people++}`);
const refresh = (at: TestServer, app: App, refresh_token: string, more = {}) =>
  asApp(at, app, { grant_type: 'refresh_token', refresh_token, ...more });
const refusedAs = (answer: request.Response) => [answer.status, answer.body.error];
const invalidGrant = [400, 'invalid_grant'];
const active = async (at: TestServer, token: string): Promise<boolean> => isAlive(at, token);
const audited = (event: string) =>
  server.database.query('select id from audit_log where event = $1', [event]);
const must = async (sent: PromiseLike<request.Response>): Promise<TokenAnswer> => {
  const answer = await sent;
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
};
/** Both clocks at once: ours and the one that oidc-provider reads. */
const later = (seconds: number) =>
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + seconds * 1000, shouldAdvanceTime: false });

test('Tokens: 100 parallel refreshes → one live leaf, and every answer carries it', async () => {
  const first = await somebody().tokensFor(spa);
  const answers = await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const send = () => refresh(index % 2 ? server : other, spa, first.refresh_token);
      let answer = await send();
      // On a busy machine some wait too long for a connection; whoever hears 503 tries again.
      for (let again = 0; answer.status === 503 && again < 5; again++) answer = await send();
      return must(Promise.resolve(answer));
    }),
  );
  expect(new Set(answers.map((answer) => answer.refresh_token)).size).toBe(1);
  const families = await server.database.query(
    'select generation from refresh_families order by created_at desc limit 1',
  );
  expect(families).toEqual([{ generation: 1 }]);
  await must(refresh(other, spa, answers[0]?.refresh_token ?? ''));
});

test('a retry inside the leeway gets the very same token on the other instance, as long as that is unused', async () => {
  const first = await somebody().tokensFor(web);
  const second = await must(refresh(server, web, first.refresh_token));
  server.clock.advance(9);
  const again = await must(refresh(other, web, first.refresh_token));
  expect(again.refresh_token).toBe(second.refresh_token);
  const used = await asApp(other, web, { token: first.refresh_token }, '/token/introspection');
  expect(used.body).toEqual({ active: false });
  expect(await active(server, again.access_token)).toBe(true);
});

test.each([
  ['after the leeway', async () => server.clock.advance(11)],
  ['once its successor was used', async (next: string) => void (await refresh(server, spa, next))],
])('Tokens: refresh replay %s → IG and the family dead on every instance, alone', async (_, meanwhile) => {
  const thea = somebody();
  const bystanders = [await thea.tokensFor(spa), await thea.tokensFor(web)] as const;
  const first = await thea.tokensFor(spa);
  const second = await must(refresh(server, spa, first.refresh_token));
  await meanwhile(second.refresh_token);
  expect(await active(other, second.access_token)).toBe(true);
  const thefts = (await audited('refresh.reused')).length;
  expect(refusedAs(await refresh(server, spa, first.refresh_token))).toEqual(invalidGrant);
  // At once: it was written by what ended the family, so that a process killed after its answer takes no theft along.
  expect(await audited('refresh.reused')).toHaveLength(thefts + 1);
  expect(refusedAs(await refresh(other, spa, second.refresh_token))).toEqual(invalidGrant);
  for (const token of [first.access_token, second.access_token])
    expect(await active(other, token)).toBe(false);
  for (const { access_token } of bystanders) expect(await active(other, access_token)).toBe(true);
  await must(refresh(other, spa, bystanders[0].refresh_token));
  await must(refresh(other, web, bystanders[1].refresh_token));
  expect(server.logged() + other.logged()).not.toContain(first.refresh_token);
});

test('an app that lost the answer and revokes the token it has is no thief, and the family ends', async () => {
  const first = await somebody().tokensFor(web);
  const second = await must(refresh(server, web, first.refresh_token));
  const [thefts, revocations] = [await audited('refresh.reused'), await audited('token.revoked')];
  const revoked = await asApp(server, web, { token: first.refresh_token }, '/token/revocation');
  expect(revoked.status).toBe(200);
  expect(refusedAs(await refresh(other, web, second.refresh_token))).toEqual(invalidGrant);
  expect(await active(other, second.access_token)).toBe(false);
  await server.audit.flush();
  expect(await audited('refresh.reused')).toEqual(thefts);
  expect(await audited('token.revoked')).toHaveLength(revocations.length + 1);
});

test('REFRESH_LEEWAY_SECONDS=0: any repetition is theft', async () => {
  const first = await somebody().tokensFor(spa);
  const second = await must(refresh(strict, spa, first.refresh_token));
  expect(refusedAs(await refresh(strict, spa, first.refresh_token))).toEqual(invalidGrant);
  expect(refusedAs(await refresh(strict, spa, second.refresh_token))).toEqual(invalidGrant);
});

test('Tokens: foreign client, scope widening → IG / invalid_scope, and the family lives on', async () => {
  const first = await somebody().tokensFor(web, { scope: 'openid profile' });
  expect.soft(refusedAs(await refresh(server, intranet, first.refresh_token))).toEqual(invalidGrant);
  expect.soft(refusedAs(await refresh(server, spa, first.refresh_token))).toEqual(invalidGrant);
  const wider = await refresh(server, web, first.refresh_token, { scope: 'openid profile email' });
  expect.soft(refusedAs(wider)).toEqual([400, 'invalid_scope']);
  const narrower = await must(refresh(server, web, first.refresh_token, { scope: 'openid' }));
  expect(narrower.scope).toBe('openid');
  expect((await must(refresh(server, web, narrower.refresh_token))).scope).toBe('openid profile');
});

test('a family ends after 7 idle days; used in time it lives, but not beyond 30 days', async () => {
  const day = 86_400;
  const idle = await somebody().tokensFor(spa);
  let used = await somebody().tokensFor(spa);
  for (let days = 6; days < 30; days += 6) {
    later(6 * day);
    used = await must(refresh(server, spa, used.refresh_token));
  }
  expect(refusedAs(await refresh(other, spa, idle.refresh_token))).toEqual(invalidGrant);
  later(6 * day - 3600);
  used = await must(refresh(server, spa, used.refresh_token));
  later(2 * 3600);
  expect(refusedAs(await refresh(server, spa, used.refresh_token))).toEqual(invalidGrant);
});

test('our clock alone decides over an idle token, whatever the library thinks of it', async () => {
  const alone = await startServer({ clients });
  const ada = createPerson(alone, 'ada');
  const [used, idle] = [await ada.tokensFor(spa), await ada.tokensFor(spa)];
  alone.clock.advance(7 * 86_400 - 300);
  await must(refresh(alone, spa, used.refresh_token));
  alone.clock.advance(600);
  expect(refusedAs(await refresh(alone, spa, idle.refresh_token))).toEqual(invalidGrant);
  await alone.close();
});

test('Keys, leaks, logs: a dump holds hashes, and one row for a family', async () => {
  const first = await somebody().tokensFor(intranet);
  const second = await must(refresh(server, intranet, first.refresh_token));
  const third = await must(refresh(server, intranet, second.refresh_token));
  const families = await server.database.query(
    "select generation from refresh_families where client_id = 'intranet'",
  );
  expect(families).toEqual([{ generation: 2 }]);
  const dump = JSON.stringify(
    await Promise.all(
      ['refresh_families', 'records', 'sessions', 'revocations'].map((table) =>
        server.database.query(`select * from ${table}`),
      ),
    ),
  );
  for (const { refresh_token, access_token } of [first, second, third]) {
    expect(dump).not.toContain(refresh_token);
    expect(dump).not.toContain(access_token);
  }
  expect(dump).not.toMatch(/v4\.(local|public)\./);
  expect(dump).not.toContain('token_id');
});
