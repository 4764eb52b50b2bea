/** How answers reach an app: form_post, signed (JARM), and the flows that only an app which names them may use. */
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import * as client from 'openid-client';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sha256 } from '../../src/lib/crypto.ts';
import { apps } from '../support/apps.ts';
import { asApp, challengeOf, createPerson, type Person, verifier } from '../support/person.ts';
import { relyingParty, signInAt } from '../support/relying_party.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, intranet } = apps;
const hybrid = {
  ...intranet,
  client_id: 'hybrid',
  response_types: ['code', 'code id_token', 'id_token', 'id_token token'],
  grant_types: ['authorization_code', 'refresh_token', 'implicit'],
};
const jarm = { ...intranet, client_id: 'jarm', authorization_signed_response_alg: 'ES256' };
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), hybrid, jarm] });
  ada = createPerson(server, 'ada');
  await ada.codeFor(intranet);
});
afterAll(() => server.close());

const asking = (app: typeof intranet, params: object) =>
  ada.agent.get('/auth').query({
    client_id: app.client_id,
    redirect_uri: app.redirect_uri,
    response_type: 'code',
    scope: 'openid',
    state: 'a state',
    nonce: 'a nonce',
    ...params,
  });
const fieldsOf = ({ text }: request.Response) =>
  Object.fromEntries(
    [...text.matchAll(/type="hidden" name="([^"]+)" value="([^"]*)"/g)].map(([, n, v]) => [n, v]),
  );
const publishedKeys = async () => createLocalJWKSet((await request(server.url).get('/jwks')).body);
const hashOf = (text: string) => Buffer.from(sha256(text), 'base64url').subarray(0, 16).toString('base64url');

test('form_post: a page of ours posts the answer to the app alone, with a button and no inline script', async () => {
  const page = await asking(intranet, { response_mode: 'form_post' });
  expect(page.status).toBe(200);
  expect(page.headers['cache-control']).toBe('no-store');
  expect(page.text).toContain(`method="post" action="${intranet.redirect_uri}"`);
  expect(page.text).toMatch(/<button[^>]*type="submit"/);
  expect(page.text).not.toMatch(/<script(?![^>]*\ssrc="\/assets\/form_post-)/);
  const policy = String(page.headers['content-security-policy']);
  expect(policy).toContain("form-action 'self' https: http:;");
  expect(policy).toContain("script-src 'self';");
  const { code = '', ...rest } = fieldsOf(page);
  expect(rest).toEqual({ state: 'a state', iss: server.url });
  const redeem = { grant_type: 'authorization_code', code, redirect_uri: intranet.redirect_uri };
  expect((await asApp(server, intranet, redeem)).status).toBe(200);
});

test('form_post: what the app sent comes back as text, and errors take the same way', async () => {
  const hostile = `"><script>alert(1)</script>`;
  const page = await asking(intranet, { response_mode: 'form_post', state: hostile });
  expect(page.text).not.toContain('<script>alert');
  expect(page.text).toContain('&#34;&gt;&lt;script&gt;');
  const refused = await request(server.url).get('/auth').query({
    client_id: web.client_id,
    redirect_uri: web.redirect_uri,
    response_type: 'code',
    scope: 'openid',
    response_mode: 'form_post',
  });
  expect([refused.status, fieldsOf(refused).error]).toEqual([200, 'invalid_request']);
});

test('JARM: answers and errors signed for the app, by query, fragment and form_post', async () => {
  const keys = await publishedKeys();
  const opened = async (jwt: string) =>
    (await jwtVerify(jwt, keys, { issuer: server.url, audience: 'jarm', algorithms: ['ES256'] })).payload;
  const byQuery = new URL(String((await asking(jarm, { response_mode: 'jwt' })).headers.location));
  expect([...byQuery.searchParams.keys()]).toEqual(['response']);
  expect(await opened(String(byQuery.searchParams.get('response')))).toMatchObject({
    code: expect.any(String),
    state: 'a state',
    exp: expect.any(Number),
  });
  const byFragment = new URL(
    String((await asking(jarm, { response_mode: 'fragment.jwt' })).headers.location),
  );
  expect(await opened(byFragment.hash.replace('#response=', ''))).toHaveProperty('code');
  const page = await asking(jarm, { response_mode: 'form_post.jwt' });
  expect(await opened(fieldsOf(page).response ?? '')).toHaveProperty('code');
  const refused = await asking(jarm, { response_mode: 'query.jwt', prompt: 'none', max_age: '-1' });
  const { searchParams } = new URL(String(refused.headers.location));
  expect(await opened(String(searchParams.get('response')))).toMatchObject({ error: 'invalid_request' });
});

test('JARM: openid-client takes the answer', async () => {
  const config = await relyingParty(server, jarm, undefined, { authorization_signed_response_alg: 'ES256' });
  client.useJwtResponseMode(config);
  const tokens = await signInAt(config, jarm, ada, { parameters: { response_mode: 'jwt' } });
  expect(tokens.claims()?.aud).toBe('jarm');
});

test('hybrid and implicit: for an app that names them, with hashes that hold together what came', async () => {
  const both = await asking(hybrid, { response_type: 'code id_token' });
  const fragment = new URLSearchParams(new URL(String(both.headers.location)).hash.slice(1));
  const code = String(fragment.get('code'));
  const { payload } = await jwtVerify(String(fragment.get('id_token')), await publishedKeys());
  expect(payload).toMatchObject({ nonce: 'a nonce', c_hash: hashOf(code), aud: 'hybrid' });
  const redeem = { grant_type: 'authorization_code', code, redirect_uri: hybrid.redirect_uri };
  const { body } = await asApp(server, hybrid, redeem);
  expect(decodeJwt(body.id_token).sub).toBe(payload.sub);
  const implicit = await asking(hybrid, { response_type: 'id_token token' });
  const tokens = new URLSearchParams(new URL(String(implicit.headers.location)).hash.slice(1));
  const access = String(tokens.get('access_token'));
  expect(decodeJwt(String(tokens.get('id_token'))).at_hash).toBe(hashOf(access));
  expect((await request(server.url).get('/me').auth(access, { type: 'bearer' })).status).toBe(200);
  expect(tokens.get('refresh_token')).toBeNull();
  const query = await asking(hybrid, { response_type: 'id_token', response_mode: 'query' });
  expect(new URL(String(query.headers.location)).href).toContain('error=invalid_request');
  const nonceless = await asking(hybrid, { response_type: 'id_token', nonce: undefined });
  expect(String(nonceless.headers.location)).toContain('error=invalid_request');
});

test('hybrid and implicit: whoever does not name them is refused, and an implicit token ends with the session', async () => {
  const refused = await asking(intranet, { response_type: 'code id_token' });
  expect(String(refused.headers.location)).toContain('error=');
  expect(String(refused.headers.location)).not.toMatch(/id_token=|code=/);
  const bea = createPerson(server, 'bea');
  const start = await bea.authorize(hybrid, { response_type: 'id_token token' });
  const back = await bea.travel(start);
  const access = String(new URLSearchParams(back.hash.slice(1)).get('access_token'));
  const me = () => request(server.url).get('/me').auth(access, { type: 'bearer' });
  expect((await me()).status).toBe(200);
  const page = await bea.agent.get('/session/end');
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1];
  await bea.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
  expect((await me()).status).toBe(401);
});

test('PKCE and codes: a challenge that an app sends by hybrid flow binds its code', async () => {
  const code_verifier = verifier();
  const pkce = { code_challenge: challengeOf(code_verifier), code_challenge_method: 'S256' };
  const both = await asking(hybrid, { response_type: 'code id_token', ...pkce });
  const code = String(new URLSearchParams(new URL(String(both.headers.location)).hash.slice(1)).get('code'));
  const redeem = { grant_type: 'authorization_code', code, redirect_uri: hybrid.redirect_uri };
  expect((await asApp(server, hybrid, redeem)).body.error).toBe('invalid_grant');
});
