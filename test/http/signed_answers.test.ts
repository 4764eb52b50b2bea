/** What is signed for an app or an API to read: ID tokens, userinfo, introspection (RFC 9701), access tokens (RFC 9068). */
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { type App, asApp, createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, machine, api, intranet } = apps;
const signedInfo = { ...intranet, client_id: 'signed-info', userinfo_signed_response_alg: 'ES256' };
const es256 = { ...intranet, client_id: 'es256', id_token_signed_response_alg: 'ES256' };
const without = { ...es256, client_id: 'without', id_token_at_refresh: false };
const signedApi = { ...api, client_id: 'signed-api', introspection_signed_response_alg: 'ES256' };
const reports = {
  audience: 'https://reports.example/api',
  scopes: ['read'],
  token_format: 'jwt',
  client_id: api.client_id,
};
const accounts = {
  audience: 'https://accounts.example/api',
  scopes: ['read'],
  client_id: signedApi.client_id,
};
const resources = [reports, accounts];
let server: TestServer;
let other: TestServer;
let ada: Person;
beforeAll(async () => {
  const clients = [...Object.values(apps), signedInfo, signedApi, es256, without];
  server = await startServer({ clients, resources });
  other = await startServer({ clients, resources, beside: server });
  ada = createPerson(server, 'ada');
});
afterAll(async () => {
  await other.close();
  await server.close();
});

const forReports = { resource: reports.audience, scope: 'openid read' };
/** What a library of others does that has nothing but our address. */
const verified = async (jwt: string, typ: string | undefined, audience: string) =>
  (
    await jwtVerify(jwt, createRemoteJWKSet(new URL(`${server.url}/jwks`)), {
      issuer: server.url,
      ...(typ === undefined ? {} : { typ }),
      audience,
    })
  ).payload;
const introspected = async (at: TestServer, app: App, token: string) =>
  (await asApp(at, app, { token }, '/token/introspection')).body;
const me = (token: string) => request(server.url).get('/me').auth(token, { type: 'bearer' });

test('ID tokens by every algorithm that discovery names, for an app that registered it', async () => {
  const { body } = await request(server.url).get('/.well-known/openid-configuration');
  const algs = body.id_token_signing_alg_values_supported as string[];
  expect(algs).toEqual(expect.arrayContaining(['RS256', 'ES256']));
  const apps = algs.map((alg) => ({
    ...intranet,
    client_id: `by-${alg}`,
    id_token_signed_response_alg: alg,
  }));
  const alone = await startServer({ clients: apps });
  for (const app of apps) {
    const { id_token } = await createPerson(alone, `for-${app.client_id}`.toLowerCase()).tokensFor(app);
    expect(decodeProtectedHeader(id_token).alg).toBe(app.id_token_signed_response_alg);
    const keys = createRemoteJWKSet(new URL(`${alone.url}/jwks`));
    expect((await jwtVerify(id_token, keys, { issuer: alone.url })).payload.aud).toBe(app.client_id);
  }
  await alone.close();
});

const refresh = async (at: TestServer, app: App, refresh_token: string, more: object = {}) => {
  const answer = await asApp(at, app, { grant_type: 'refresh_token', refresh_token, ...more });
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
};

test('a refresh, and its repetition, has an ID token by ES256 for an app that registered it', async () => {
  const first = await ada.tokensFor(es256, { scope: 'openid profile' });
  for (const at of [server, other]) {
    const { id_token, scope } = await refresh(at, es256, first.refresh_token);
    expect(decodeProtectedHeader(id_token).alg).toBe('ES256');
    const { sub, sid } = await verified(id_token, undefined, es256.client_id);
    expect({ sub, sid }).toEqual({ sub: decodeJwt(first.id_token).sub, sid: decodeJwt(first.id_token).sid });
    expect(scope).toBe('openid profile');
  }
});

test('id_token_at_refresh: false leaves the ID token out of a refresh and its repetition, and nothing else', async () => {
  const first = await ada.tokensFor(without, { scope: 'openid profile' });
  expect(decodeJwt(first.id_token).aud).toBe(without.client_id);
  const second = await refresh(server, without, first.refresh_token);
  const again = await refresh(other, without, first.refresh_token);
  for (const answer of [second, again]) {
    expect(answer).toEqual({
      access_token: expect.stringMatching(/^v4\.local\./),
      refresh_token: second.refresh_token,
      scope: 'openid profile',
      token_type: 'Bearer',
      expires_in: 900,
    });
    expect((await me(answer.access_token)).body.preferred_username).toBe('ada');
  }
  // A narrower request is still answered with what it received.
  const narrower = await refresh(other, without, second.refresh_token, { scope: 'openid' });
  expect(narrower).toMatchObject({ scope: 'openid' });
  expect(narrower).not.toHaveProperty('id_token');
});

test('userinfo as a signed JWT, for an app that registered so', async () => {
  const { access_token } = await ada.tokensFor(signedInfo, { scope: 'openid profile' });
  const answer = await me(access_token);
  expect(answer.type).toBe('application/jwt');
  expect(decodeProtectedHeader(answer.text).alg).toBe('ES256');
  const keys = createRemoteJWKSet(new URL(`${server.url}/jwks`));
  const { payload } = await jwtVerify(answer.text, keys, { issuer: server.url, audience: 'signed-info' });
  expect(payload).toMatchObject({ preferred_username: 'ada', sub: expect.any(String) });
});

test('introspection as a signed JWT, where the caller accepts it', async () => {
  const { access_token } = await ada.tokensFor(web, { resource: accounts.audience, scope: 'openid read' });
  const ask = (token: string, accept: string) =>
    asApp(server, signedApi, { token }, '/token/introspection').accept(accept);
  const type = 'application/token-introspection+jwt';
  const answer = await ask(access_token, type);
  expect(answer.type).toBe(type);
  const payload = await verified(answer.text, 'token-introspection+jwt', 'signed-api');
  expect(payload.token_introspection).toMatchObject({
    active: true,
    client_id: 'web',
    aud: accounts.audience,
  });
  expect(payload).not.toHaveProperty('sub');
  const unknown = await verified((await ask('x', type)).text, 'token-introspection+jwt', 'signed-api');
  expect(unknown.token_introspection).toEqual({ active: false });
  expect((await ask(access_token, 'application/json')).body.active).toBe(true);
  const forOthers = await ada.tokensFor(web, forReports);
  const refused = await verified(
    (await ask(forOthers.access_token, type)).text,
    'token-introspection+jwt',
    'signed-api',
  );
  expect(refused.token_introspection).toEqual({ active: false });
});

test('at+jwt: a token that others’ libraries verify, with what RFC 9068 asks for', async () => {
  const tokens = await ada.tokensFor(web, forReports);
  expect(tokens.expires_in).toBe(600);
  const payload = await verified(tokens.access_token, 'at+jwt', reports.audience);
  expect(payload).toMatchObject({
    client_id: 'web',
    scope: 'read',
    sub: expect.any(String),
    jti: expect.any(String),
  });
  expect(Number(payload.exp) - Number(payload.iat)).toBe(600);
  for (const caller of [web, api])
    expect(await introspected(server, caller, tokens.access_token)).toMatchObject({
      active: true,
      aud: reports.audience,
      scope: 'read',
      sub: payload.sub,
      token_type: 'Bearer',
    });
  expect(await introspected(server, intranet, tokens.access_token)).toEqual({ active: false });
  expect((await me(tokens.access_token)).status).toBe(401);
});

test('at+jwt: revoked by its app, by a replayed refresh token and with its session, it is inactive on every instance', async () => {
  const dead = async (token: string) => (await introspected(other, api, token)).active === false;
  const first = await ada.tokensFor(web, forReports);
  const revoke = { token: first.access_token };
  expect((await asApp(server, intranet, revoke, '/token/revocation')).status).not.toBe(500);
  expect(await dead(first.access_token)).toBe(false);
  expect((await asApp(server, web, revoke, '/token/revocation')).status).toBe(200);
  expect(await dead(first.access_token)).toBe(true);
  const second = await ada.tokensFor(web, forReports);
  await asApp(server, web, { token: second.refresh_token }, '/token/revocation');
  expect(await dead(second.access_token)).toBe(true);
  const own = { grant_type: 'client_credentials', resource: reports.audience, scope: 'read' };
  const { body } = await asApp(server, machine, own);
  expect(await introspected(server, api, body.access_token)).toMatchObject({
    active: true,
    client_id: 'machine',
  });
  await asApp(server, machine, { token: body.access_token }, '/token/revocation');
  expect(await dead(body.access_token)).toBe(true);
});

test('at+jwt: an ID token, a changed or an expired one, and one of another form, are inactive', async () => {
  const tokens = await ada.tokensFor(web, forReports);
  const [header, payload = '', signature] = tokens.access_token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const changed = Buffer.from(JSON.stringify({ ...claims, scope: 'read write' })).toString('base64url');
  const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url');
  for (const token of [
    tokens.id_token,
    `${header}.${changed}.${signature}`,
    `${none}.${payload}.`,
    `${none}.${payload}.AAAA`,
    `.${tokens.access_token}.`,
    `${header}.${Buffer.from('[').toString('base64url')}.${signature}`,
  ])
    expect.soft((await introspected(server, api, token)).active ?? false).toBe(false);
  server.clock.advance(450);
  expect((await introspected(server, api, tokens.access_token)).active).toBe(true);
  server.clock.advance(150);
  expect(await introspected(server, api, tokens.access_token)).toEqual({ active: false });
});
