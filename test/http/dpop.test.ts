/** DPoP (RFC 9449): tokens that are worth nothing without the key they are bound to. */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose';
import * as client from 'openid-client';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sha256 } from '../../src/lib/crypto.ts';
import { apps } from '../support/apps.ts';
import { asApp, createPerson, type Person } from '../support/person.ts';
import { relyingParty, signInAt } from '../support/relying_party.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, spa } = apps;
const bound = { ...web, client_id: 'bound', dpop_bound_access_tokens: true };
let server: TestServer;
let other: TestServer;
let ada: Person;
beforeAll(async () => {
  const clients = [...Object.values(apps), bound];
  server = await startServer({ clients });
  other = await startServer({ clients, beside: server });
  ada = createPerson(server, 'ada');
});
afterAll(async () => {
  await other.close();
  await server.close();
});

const keys = await generateKeyPair('ES256', { extractable: true });
const jwk = await exportJWK(keys.publicKey);
/** A proof made by hand, so that a test can leave out or change what it likes. */
const proof = (htm: string, path: string, claims: object = {}, by = keys, key = jwk) =>
  new SignJWT({ htm, htu: `${server.url}${path}`, jti: crypto.randomUUID(), ...claims })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: key })
    .setIssuedAt()
    .sign(by.privateKey);
const me = (token: string, scheme: string, proven?: string) => {
  const get = request(server.url).get('/me').set('authorization', `${scheme} ${token}`);
  return proven ? get.set('dpop', proven) : get;
};
const refresh = async (refresh_token: string, proven?: string) => {
  const post = asApp(server, spa, { grant_type: 'refresh_token', refresh_token });
  return proven ? post.set('dpop', proven) : post;
};

test('DPoP: openid-client gets bound tokens, uses them at userinfo and refreshes them', async () => {
  const config = await relyingParty(server, spa);
  const DPoP = client.getDPoPHandle(config, keys);
  const tokens = await signInAt(config, spa, ada, { DPoP });
  expect(tokens.token_type).toBe('dpop');
  const sub = String(tokens.claims()?.sub);
  const person = await client.fetchUserInfo(config, tokens.access_token, sub, { DPoP });
  expect(person.sub).toBe(sub);
  const fresh = await client.refreshTokenGrant(config, String(tokens.refresh_token), undefined, { DPoP });
  expect(fresh.token_type).toBe('dpop');
});

test('DPoP: a stolen access token opens nothing, as Bearer or with another key; introspection tells the key', async () => {
  const config = await relyingParty(server, web);
  const { access_token } = await signInAt(config, web, ada, { DPoP: client.getDPoPHandle(config, keys) });
  const ath = sha256(access_token);
  const thief = await generateKeyPair('ES256', { extractable: true });
  const theirs = await exportJWK(thief.publicKey);
  const statuses = [
    await me(access_token, 'Bearer'),
    await me(access_token, 'DPoP'),
    await me(access_token, 'DPoP', await proof('GET', '/me', { ath }, thief, theirs)),
    await me(access_token, 'DPoP', await proof('GET', '/me', { ath }, thief)),
    await me(access_token, 'DPoP', await proof('GET', '/me', { ath: sha256('another') })),
    await me(access_token, 'DPoP', await proof('GET', '/me')),
    await me(access_token, 'DPoP', await proof('POST', '/me', { ath })),
    await me(access_token, 'DPoP', await proof('GET', '/token', { ath })),
  ].map(({ status }) => status);
  expect(statuses.every((status) => status === 400 || status === 401)).toBe(true);
  const good = await me(access_token, 'DPoP', await proof('GET', '/me', { ath }));
  expect(good.status).toBe(200);
  const seen = (await asApp(server, web, { token: access_token }, '/token/introspection')).body;
  expect(seen).toMatchObject({
    active: true,
    token_type: 'DPoP',
    cnf: { jkt: await calculateJwkThumbprint(jwk) },
  });
});

test('DPoP: a proof works once, on any instance, however many try at the same time', async () => {
  const config = await relyingParty(server, spa);
  const { access_token } = await signInAt(config, spa, ada, { DPoP: client.getDPoPHandle(config, keys) });
  const once = await proof('GET', '/me', { ath: sha256(access_token) });
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      request(index % 2 ? server.url : other.url)
        .get('/me')
        .set('authorization', `DPoP ${access_token}`)
        .set('dpop', once),
    ),
  );
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  for (const { status, body } of answers.filter(({ status }) => status !== 200))
    expect([status, body.error]).toEqual([401, 'invalid_token']);
});

test('DPoP: a page app’s refresh token is bound too, and a refused try does not use it up', async () => {
  const config = await relyingParty(server, spa);
  const tokens = await signInAt(config, spa, ada, { DPoP: client.getDPoPHandle(config, keys) });
  const token = String(tokens.refresh_token);
  const thief = await generateKeyPair('ES256', { extractable: true });
  const theirs = await exportJWK(thief.publicKey);
  for (const proven of [undefined, await proof('POST', '/token', {}, thief, theirs)]) {
    const refused = await refresh(token, proven);
    expect([refused.status, refused.body.error]).toEqual([400, 'invalid_grant']);
  }
  const once = await proof('POST', '/token');
  const used = await refresh(token, once);
  expect([used.status, used.body.token_type]).toEqual([200, 'DPoP']);
  const replayed = await refresh(used.body.refresh_token, once);
  expect([replayed.status, replayed.body.error]).toEqual([400, 'invalid_grant']);
  expect((await refresh(used.body.refresh_token, await proof('POST', '/token'))).status).toBe(200);
});

test('DPoP: an app with dpop_bound_access_tokens gets no other; dpop_jkt binds the code', async () => {
  const code = (await relyingParty(server, bound)) as client.Configuration;
  await expect(signInAt(code, bound, ada)).rejects.toMatchObject({ error: 'invalid_grant' });
  const DPoP = client.getDPoPHandle(code, keys);
  expect((await signInAt(code, bound, ada, { DPoP })).token_type).toBe('dpop');
  const parameters = { dpop_jkt: await calculateJwkThumbprint(jwk) };
  const thief = client.getDPoPHandle(code, await client.randomDPoPKeyPair());
  await expect(signInAt(code, bound, ada, { parameters, DPoP: thief })).rejects.toMatchObject({
    error: 'invalid_grant',
  });
  expect((await signInAt(code, bound, ada, { parameters, DPoP })).token_type).toBe('dpop');
});

test('DPoP: whose clock is wrong is given a nonce and gets on with it', async () => {
  const config = await relyingParty(server, spa);
  const tokens = await signInAt(config, spa, ada, { DPoP: client.getDPoPHandle(config, keys) });
  const old = { iat: Math.floor(Date.now() / 1000) - 3600 };
  const late = (claims: object = {}) =>
    new SignJWT({ htm: 'POST', htu: `${server.url}/token`, jti: crypto.randomUUID(), ...old, ...claims })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
      .sign(keys.privateKey);
  const refused = await refresh(String(tokens.refresh_token), await late());
  expect([refused.status, refused.body.error]).toEqual([400, 'use_dpop_nonce']);
  const nonce = refused.headers['dpop-nonce'];
  expect((await refresh(String(tokens.refresh_token), await late({ nonce: 'invented' }))).status).toBe(400);
  expect((await refresh(String(tokens.refresh_token), await late({ nonce }))).status).toBe(200);
});
