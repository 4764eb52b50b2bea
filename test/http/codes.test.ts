/** PKCE, authorization codes and pushed requests: what is used once, and by whom. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import {
  type App,
  asApp,
  challengeOf,
  createPerson,
  isAlive,
  type Person,
  verifier,
} from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, spa, intranet } = apps;
/** An app that gets no refresh tokens. */
const brief = { ...spa, client_id: 'brief', grant_types: ['authorization_code'] };
const clients = [...Object.values(apps), brief];
let server: TestServer;
let other: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients });
  other = await startServer({ clients, beside: server });
  ada = createPerson(server, 'ada');
  await ada.tokensFor(web);
});
afterAll(async () => {
  await other.close();
  await server.close();
});

/** A code with its verifier, and the form that redeems it. */
async function code(app: App = web) {
  const code_verifier = verifier();
  const challenge = { code_challenge: challengeOf(code_verifier), code_challenge_method: 'S256' };
  const value = await ada.codeFor(app, challenge);
  return { grant_type: 'authorization_code', code: value, redirect_uri: app.redirect_uri, code_verifier };
}
type Form = Awaited<ReturnType<typeof code>>;
const refusedAs = (answer: request.Response) => [answer.status, answer.body.error];
const invalidGrant = [400, 'invalid_grant'];
const active = async (at: TestServer, token: string) => isAlive(at, token);

test('PKCE and codes: no challenge, or plain, is an error', async () => {
  for (const app of [web, spa]) {
    expect.soft((await ada.authorize(app)).searchParams.get('error')).toBe('invalid_request');
    const plain = { code_challenge: verifier(), code_challenge_method: 'plain' };
    expect.soft((await ada.authorize(app, plain)).searchParams.get('error')).toBe('invalid_request');
    const defaulted = { code_challenge: verifier() };
    expect.soft((await ada.authorize(app, defaulted)).searchParams.get('error')).toBe('invalid_request');
  }
});

test('PKCE and codes: verifier missing, wrong, or given without a challenge → IG', async () => {
  const form = await code();
  const { code_verifier, ...without } = form;
  expect.soft(refusedAs(await asApp(server, web, without))).toEqual(invalidGrant);
  expect
    .soft(refusedAs(await asApp(server, web, { ...form, code_verifier: verifier() })))
    .toEqual(invalidGrant);
  expect.soft((await asApp(server, web, form)).status).toBe(200);
  const bare = await ada.codeFor(intranet);
  const exchange = { grant_type: 'authorization_code', code: bare, redirect_uri: intranet.redirect_uri };
  expect.soft(refusedAs(await asApp(server, intranet, { ...exchange, code_verifier }))).toEqual(invalidGrant);
});

test('a confidential app registered with require_pkce: false needs none; a challenge it sends binds it', async () => {
  const bare = await ada.codeFor(intranet);
  const exchange = { grant_type: 'authorization_code', redirect_uri: intranet.redirect_uri };
  expect((await asApp(server, intranet, { ...exchange, code: bare })).status).toBe(200);
  const bound = await code(intranet);
  expect(refusedAs(await asApp(server, intranet, { ...exchange, code: bound.code }))).toEqual(invalidGrant);
});

test.each([1, 30])(
  'PKCE and codes: a code used twice (after %i s) → IG, and the tokens of the first use die',
  async (seconds) => {
    const bystander = await ada.tokensFor(web);
    const form = await code();
    const { body: first } = await asApp(server, web, form);
    expect(await active(other, first.access_token)).toBe(true);
    server.clock.advance(seconds);
    expect(refusedAs(await asApp(other, web, form))).toEqual(invalidGrant);
    expect(await active(server, first.access_token)).toBe(false);
    const refresh = { grant_type: 'refresh_token', refresh_token: first.refresh_token };
    expect(refusedAs(await asApp(server, web, refresh))).toEqual(invalidGrant);
    expect(await active(server, bystander.access_token)).toBe(true);
  },
);

test('PKCE and codes: a code whose other family was revoked is still known when it is presented again', async () => {
  const revoked = await ada.tokensFor(web);
  const form = await code();
  const pending = await code();
  const { body: first } = await asApp(server, web, form);
  await asApp(server, web, { token: revoked.refresh_token }, '/token/revocation');
  expect((await asApp(server, web, pending)).status).toBe(200);
  server.clock.advance(1);
  expect(refusedAs(await asApp(server, web, form))).toEqual(invalidGrant);
  expect(await active(server, first.access_token)).toBe(false);
});

test('PKCE and codes: a second click sends the code twice: it is refused once, and the first answer stays good', async () => {
  const form = await code();
  const { body: first } = await asApp(server, web, form);
  expect(refusedAs(await asApp(other, web, form))).toEqual(invalidGrant);
  expect(await active(server, first.access_token)).toBe(true);
});

/** What the app itself hears of its token. */
const lives = async (app: App, token: string) =>
  (await asApp(other, app, { token }, '/token/introspection')).body.active;

test.each<[string, App, (form: Form) => [App, { [name in keyof Form]?: string | undefined }]]>([
  ['without its verifier', web, () => [web, { code_verifier: undefined }]],
  ['with another verifier', web, () => [web, { code_verifier: verifier() }]],
  ['with another redirect_uri', web, () => [web, { redirect_uri: 'https://web.example/other' }]],
  ['by another app', web, () => [spa, {}]],
  ['without a challenge, so that nobody knows whose it is', intranet, () => [intranet, {}]],
])(
  'PKCE and codes: a code that is used and presented again %s ends its tokens at once',
  async (_, app, change) => {
    const form = await code(app);
    if (app === intranet) form.code = await ada.codeFor(intranet);
    const { code_verifier: __, ...bare } = form;
    const { body: first } = await asApp(server, app, app === intranet ? bare : form);
    expect(await lives(app, first.access_token)).toBe(true);
    const [by, changed] = change(form);
    const { code_verifier, ...again } = { ...form, ...changed };
    const sent = app === intranet || code_verifier === undefined ? again : { ...again, code_verifier };
    expect(refusedAs(await asApp(other, by, sent as Form))).toEqual(invalidGrant);
    expect(await lives(app, first.access_token)).toBe(false);
    const refresh = { grant_type: 'refresh_token', refresh_token: first.refresh_token };
    expect(refusedAs(await asApp(server, app, refresh))).toEqual(invalidGrant);
  },
);

test('PKCE and codes: the second click of a key-bound app has the same key; with another key, or none, the tokens end', async () => {
  const proofBy = async ({ privateKey, publicKey }: Awaited<ReturnType<typeof generateKeyPair>>) =>
    new SignJWT({ htm: 'POST', htu: `${server.url}/token`, jti: crypto.randomUUID() })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(publicKey) })
      .setIssuedAt()
      .sign(privateKey);
  const [own, theirs] = [await generateKeyPair('ES256'), await generateKeyPair('ES256')];
  for (const [again, living] of [
    [own, true],
    [theirs, false],
    [undefined, false],
  ] as const) {
    const form = await code();
    const first = await asApp(server, web, form).set('dpop', await proofBy(own));
    const second = asApp(other, web, form);
    expect(refusedAs(await (again ? second.set('dpop', await proofBy(again)) : second))).toEqual(
      invalidGrant,
    );
    expect(await lives(web, first.body.access_token)).toBe(living);
  }
});

test('a code is used up by the commit that begins its family, and by no request that ends before it', async () => {
  const form = await code();
  const unknown = { ...form, resource: 'https://nobody.example/' };
  expect(refusedAs(await asApp(server, web, unknown))).toEqual([400, 'invalid_target']);
  expect((await asApp(server, web, form)).status).toBe(200);
  // The last code and the last family.
  const [written] = await server.database.query(
    `select r.xmin = f.xmin as "atOnce"
     from records r, refresh_families f
     where r.consumed_at is not null order by r.consumed_at desc, f.created_at desc limit 1`,
  );
  expect(written).toEqual({ atOnce: true });
});

test('a code that is presented again while its first use is under way ends what that begins', async () => {
  const form = await code();
  let exchanges: Promise<request.Response[]> | undefined;
  await server.database.transaction(async (query) => {
    // Both wait: the first one for this, the second one for the first.
    await query('select from sessions for update');
    const first = asApp(server, web, form).then((answer) => answer);
    await new Promise((resolve) => setTimeout(resolve, 250));
    server.clock.advance(1);
    exchanges = Promise.all([first, asApp(other, web, form)]);
    await new Promise((resolve) => setTimeout(resolve, 250));
  });
  const [first, second] = (await exchanges) ?? [];
  expect([first?.status, second && refusedAs(second)]).toEqual([200, invalidGrant]);
  expect(await active(server, first?.body.access_token)).toBe(false);
  const refresh = { grant_type: 'refresh_token', refresh_token: first?.body.refresh_token };
  expect(refusedAs(await asApp(server, web, refresh))).toEqual(invalidGrant);
});

test('PKCE and codes: 50 parallel redemptions → one 200, and never a refresh token that outlives its access token', async () => {
  for (const app of [spa, brief, spa]) {
    const form = await code(app);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => asApp(index % 2 ? server : other, app, form)),
    );
    const won = answers.filter(({ status }) => status === 200);
    // On a busy machine some wait too long for a connection, the winner perhaps among them.
    const busy = answers.some(({ status }) => status === 503);
    expect(won.length).toBeLessThanOrEqual(1);
    if (!busy) expect(won).toHaveLength(1);
    for (const answer of answers.filter(({ status }) => status !== 200 && status !== 503))
      expect(refusedAs(answer)).toEqual(invalidGrant);
    // A loser that came much later than the winner is a replay: then the winner's family is over for good.
    const live = await server.database.query<{ ended: boolean }>(
      `select f.ended_at is not null as ended from refresh_families f join revocations r on r.subject = 'family:' || f.id`,
    );
    expect(live.every(({ ended }) => ended)).toBe(true);
    for (const { body } of won.filter(() => app === spa)) {
      const refresh = { grant_type: 'refresh_token', refresh_token: body.refresh_token };
      const lives = (await asApp(server, spa, refresh)).status === 200;
      expect(await active(server, body.access_token)).toBe(lives);
    }
  }
});

test('PKCE and codes: redirect mismatch at the token endpoint, or another app → IG', async () => {
  const form = await code();
  const elsewhere = { ...form, redirect_uri: 'https://web.example/other' };
  expect.soft(refusedAs(await asApp(server, web, elsewhere))).toEqual(invalidGrant);
  const { redirect_uri: _, ...without } = form;
  expect.soft(refusedAs(await asApp(server, web, without))).toEqual([400, 'invalid_request']);
  expect.soft(refusedAs(await asApp(server, spa, form))).toEqual(invalidGrant);
  expect.soft((await asApp(server, web, form)).status).toBe(200);
});

test('PKCE and codes: codes live 60 s', async () => {
  const [early, late] = [await code(), await code()];
  server.clock.advance(58);
  expect((await asApp(server, web, early)).status).toBe(200);
  server.clock.advance(3);
  expect(refusedAs(await asApp(server, web, late))).toEqual(invalidGrant);
});

test('a pushed request works once, for the app that pushed it', async () => {
  const code_verifier = verifier();
  const params = {
    response_type: 'code',
    redirect_uri: web.redirect_uri,
    scope: 'openid',
    code_challenge: challengeOf(code_verifier),
    code_challenge_method: 'S256',
  };
  const unregistered = { ...params, redirect_uri: 'https://evil.example/' };
  expect((await asApp(server, web, unregistered, '/request')).status).toBe(400);
  const anonymous = await request(server.url)
    .post('/request')
    .type('form')
    .send({ ...params, client_id: 'web' });
  expect(anonymous.status).toBe(401);
  const pushed = await asApp(server, web, { ...params, client_id: web.client_id }, '/request');
  expect([pushed.status, pushed.body]).toEqual([201, expect.anything()]);
  const { request_uri } = pushed.body;
  const go = (client_id: string) => ada.agent.get('/auth').query({ client_id, request_uri });
  expect((await go(spa.client_id)).headers.location ?? '').not.toContain('code=');
  const back = new URL(String((await go(web.client_id)).headers.location));
  const redeem = { grant_type: 'authorization_code', redirect_uri: web.redirect_uri, code_verifier };
  const answer = await asApp(server, web, { ...redeem, code: back.searchParams.get('code') ?? '' });
  expect(answer.status).toBe(200);
  const again = await go(web.client_id);
  expect([again.status, again.headers.location]).toEqual([400, undefined]);
});

// Last, for it turns the clock far: the library's own stays.
test.each([120, 86_400])(
  'PKCE and codes: a code that is presented again after %i s, when it has long expired, ends its tokens',
  async (seconds) => {
    const form = await code();
    const { body } = await asApp(server, web, form);
    const unused = await code();
    server.clock.advance(seconds);
    const { body: next } = await asApp(server, web, {
      grant_type: 'refresh_token',
      refresh_token: body.refresh_token,
    });
    expect(refusedAs(await asApp(other, web, form))).toEqual(invalidGrant);
    expect(await lives(web, next.access_token)).toBe(false);
    const refresh = { grant_type: 'refresh_token', refresh_token: next.refresh_token };
    expect(refusedAs(await asApp(server, web, refresh))).toEqual(invalidGrant);
    const [before] = await server.database.query('select count(*) from revocations');
    expect(refusedAs(await asApp(server, web, unused))).toEqual(invalidGrant);
    expect(refusedAs(await asApp(server, web, { ...unused, code: 'never-a-code' }))).toEqual(invalidGrant);
    expect(await server.database.query('select count(*) from revocations')).toEqual([before]);
  },
);
