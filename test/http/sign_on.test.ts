/** One sign-on for many apps: who is asked what, and what each app learns of the person. */
import { decodeJwt, decodeProtectedHeader } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { challengeOf, createPerson, interactionOf, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, spa, intranet } = apps;
const es256 = { ...intranet, client_id: 'es256', id_token_signed_response_alg: 'ES256' };
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), es256] });
});
afterAll(() => server.close());

const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
const asked = { client_id: web.client_id, redirect_uri: web.redirect_uri, response_type: 'code', ...pkce };
const authorize = (query: object) =>
  request(server.url)
    .get('/auth')
    .query({ scope: 'openid', state: 'a state', ...query });
const locationOf = (answer: request.Response) => new URL(String(answer.headers.location), server.url);

test('one sign-on: the second app asks for no login; prompt=none answers where all is settled', async () => {
  const olga = createPerson(server, 'olga');
  await olga.codeFor(intranet);
  expect(interactionOf(await olga.authorize({ ...intranet, client_id: 'es256' }))).toBeUndefined();
  const start = await olga.authorize(web, pkce);
  const page = await olga.agent.get(start.pathname);
  expect(page.text).toContain('Allow');
  expect(page.text).not.toContain('current-password');
  const silent = await olga.authorize(web, { ...pkce, prompt: 'none' });
  expect(silent.searchParams.get('error')).toBe('consent_required');
  await olga.follow(start);
  const settled = await olga.authorize(web, { ...pkce, prompt: 'none' });
  expect(settled.searchParams.get('code')).toEqual(expect.any(String));
});

test('consent denied is access_denied at the app, and nothing was granted', async () => {
  const dora = createPerson(server, 'dora');
  await dora.codeFor(intranet);
  const uid = interactionOf(await dora.authorize(web, pkce)) ?? '';
  const denied = await dora.step(uid, 'consent', { decision: 'deny' });
  const back = locationOf(await dora.agent.get(new URL(denied.body.location).pathname));
  expect(back.origin + back.pathname).toBe(web.redirect_uri);
  expect(back.searchParams.get('error')).toBe('access_denied');
  expect(interactionOf(await dora.authorize(web, pkce))).toBeDefined();
});

test('scopes and claims: email and profile where asked for; offline_access only with prompt=consent', async () => {
  const emil = createPerson(server, 'emil');
  const uid = interactionOf(await emil.authorize(web, pkce)) ?? '';
  await emil.follow(await emil.signUp(uid, 'emil@example.org'));
  const me = async (token: string) =>
    (await request(server.url).get('/me').auth(token, { type: 'bearer' })).body;
  const tokens = await emil.tokensFor(web, { scope: 'openid profile email offline_access' });
  expect(tokens.scope.split(' ').sort()).toEqual(['email', 'openid', 'profile']);
  const all = { preferred_username: 'emil', email: 'emil@example.org', email_verified: false };
  expect(await me(tokens.access_token)).toEqual({ sub: expect.any(String), ...all });
  expect(decodeJwt(tokens.id_token)).not.toHaveProperty('email');
  const bare = await emil.tokensFor(web, { scope: 'openid' });
  expect(await me(bare.access_token)).toEqual({ sub: expect.any(String) });
  const offline = await emil.tokensFor(web, { scope: 'openid offline_access', prompt: 'consent' });
  expect(offline.scope).toContain('offline_access');
});

test('an app that registered ES256 gets its ID token signed so, for the same person', async () => {
  const elsa = createPerson(server, 'elsa');
  const first = await elsa.tokensFor(intranet);
  const second = await elsa.tokensFor(es256);
  expect(decodeProtectedHeader(first.id_token).alg).toBe('RS256');
  expect(decodeProtectedHeader(second.id_token).alg).toBe('ES256');
  expect(decodeJwt(second.id_token)).toMatchObject({
    sub: decodeJwt(first.id_token).sub,
    auth_time: decodeJwt(first.id_token).auth_time,
    amr: ['pwd', 'otp', 'mfa'],
    acr: 'urn:cypher:acr:mfa',
  });
});

test('Headers: no CORS on authorize; userinfo and a page app’s token endpoint for registered origins alone', async () => {
  const from = (origin: string) => ({ origin, accept: 'application/json' });
  const origins = ['https://spa.example', 'https://evil.example', 'null'];
  expect((await authorize(asked).set(from('https://web.example'))).headers).not.toHaveProperty(
    'access-control-allow-origin',
  );
  const tokens = await createPerson(server, 'cora').tokensFor(spa);
  for (const origin of origins) {
    const me = request(server.url).get('/me').set(from(origin)).auth(tokens.access_token, { type: 'bearer' });
    const expected = origin === 'https://spa.example' ? [200, origin] : [400, undefined];
    const { status, headers } = await me;
    expect.soft([status, headers['access-control-allow-origin']]).toEqual(expected);
    const form = { grant_type: 'refresh_token', refresh_token: 'x', client_id: 'spa' };
    const refused = await request(server.url).post('/token').type('form').set(from(origin)).send(form);
    expect.soft(refused.headers['access-control-allow-origin']).toBe(expected[1]);
  }
});
