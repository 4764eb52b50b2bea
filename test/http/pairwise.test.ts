/** Pairwise subjects: an app learns a name of the person that is its own, and at no door another one. */
import { decodeJwt } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { type App, asApp, challengeOf, createPerson, type Person, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, api, intranet } = apps;
const secretive = {
  ...web,
  client_id: 'secretive',
  subject_type: 'pairwise',
  token_endpoint_auth_method: 'client_secret_basic',
};
const sibling = { ...secretive, client_id: 'sibling' };
const elsewhere = {
  ...secretive,
  client_id: 'elsewhere',
  redirect_uri: 'https://elsewhere.example/callback',
  redirect_uris: ['https://elsewhere.example/callback'],
  userinfo_signed_response_alg: 'RS256',
};
const audiences = {
  'v4.public': 'https://public.example/',
  'v4.local': 'https://local.example/',
  jwt: 'https://jwt.example/',
};
const resources = Object.entries(audiences).map(([token_format, audience]) => ({
  audience,
  token_format,
  scopes: ['read'],
  client_id: api.client_id,
}));
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), secretive, sibling, elsewhere], resources });
  ada = createPerson(server, 'ada');
});
afterAll(() => server.close());

const introspected = async (app: App, token: string) =>
  (await asApp(server, app, { token }, '/token/introspection')).body;
const me = async (token: string) => request(server.url).get('/me').auth(token, { type: 'bearer' });
const subOf = (token: string) => decodeJwt(token).sub;

test('pairwise: one name at one sector, others at others, and the same at every login', async () => {
  const account = subOf((await ada.tokensFor(web)).id_token);
  const first = subOf((await ada.tokensFor(secretive)).id_token);
  expect(first).not.toBe(account);
  expect(subOf((await ada.tokensFor(secretive, { prompt: 'login' })).id_token)).toBe(first);
  expect(subOf((await ada.tokensFor(sibling)).id_token)).toBe(first);
  expect(subOf((await ada.tokensFor(elsewhere)).id_token)).not.toBe(first);
  const bea = createPerson(server, 'bea');
  expect(subOf((await bea.tokensFor(secretive)).id_token)).not.toBe(first);
});

test('pairwise: ID token, userinfo, introspection and access tokens of every form say the same name, none the account’s', async () => {
  const account = String(subOf((await ada.tokensFor(web)).id_token));
  const tokens = await ada.tokensFor(secretive);
  const sub = String(subOf(tokens.id_token));
  expect((await me(tokens.access_token)).body.sub).toBe(sub);
  for (const token of [tokens.access_token, tokens.refresh_token])
    expect((await introspected(secretive, token)).sub).toBe(sub);
  expect(await introspected(api, tokens.access_token)).toEqual({ active: false });
  for (const [form, resource] of Object.entries(audiences)) {
    const { access_token } = await ada.tokensFor(secretive, { resource, scope: 'openid read' });
    for (const caller of [secretive, api])
      expect.soft([form, (await introspected(caller, access_token)).sub]).toEqual([form, sub]);
    if (form === 'v4.local') continue;
    const payload = Buffer.from(access_token.split('.')[form === 'jwt' ? 1 : 2] ?? '', 'base64url').toString(
      'latin1',
    );
    expect.soft(payload).toContain(sub);
    expect.soft(payload).not.toContain(account);
  }
});

test('pairwise: signed userinfo and a refreshed ID token keep to it', async () => {
  const tokens = await ada.tokensFor(elsewhere);
  const sub = subOf(tokens.id_token);
  const signed = await me(tokens.access_token);
  expect(signed.type).toBe('application/jwt');
  expect(subOf(signed.text)).toBe(sub);
  const fresh = await asApp(server, elsewhere, {
    grant_type: 'refresh_token',
    refresh_token: tokens.refresh_token,
  });
  expect(subOf(fresh.body.id_token)).toBe(sub);
});

test('pairwise: id_token_hint and a claims request for sub are understood in the app’s own name', async () => {
  const tokens = await ada.tokensFor(secretive);
  const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
  const silent = { ...pkce, prompt: 'none' };
  const hinted = await ada.authorize(secretive, { ...silent, id_token_hint: tokens.id_token });
  expect(hinted.searchParams.get('code')).toBeTruthy();
  const asked = (value: unknown) => ({ ...silent, claims: JSON.stringify({ id_token: { sub: { value } } }) });
  expect(
    (await ada.authorize(secretive, asked(subOf(tokens.id_token)))).searchParams.get('code'),
  ).toBeTruthy();
  const account = subOf((await ada.tokensFor(intranet)).id_token);
  expect((await ada.authorize(secretive, asked(account))).searchParams.get('error')).toBe('login_required');
});
