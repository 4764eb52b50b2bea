/** The main job: sign up, sign in, consent, tokens, their use and their end. Real PostgreSQL and Redis. */
import { decodeJwt, decodeProtectedHeader } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { asApp, createPerson, isAlive } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const { web, spa } = apps;

test('a person signs up, comes back with a code, and the app gets its tokens', async () => {
  const ada = createPerson(server, 'ada');
  const tokens = await ada.tokensFor(web, { scope: 'openid profile offline_access', prompt: 'consent' });
  expect(tokens.access_token).toMatch(/^v4\.local\./);
  expect(tokens.refresh_token).toMatch(/^v4\.local\./);
  expect(decodeProtectedHeader(tokens.id_token)).toMatchObject({ alg: 'RS256' });
  expect(decodeJwt(tokens.id_token)).toMatchObject({
    iss: server.url,
    aud: web.client_id,
    amr: ['pwd', 'otp', 'mfa'],
    acr: 'urn:cypher:acr:mfa',
    auth_time: expect.any(Number),
    nonce: 'a nonce',
  });
  const seen = await asApp(server, web, { token: tokens.access_token }, '/token/introspection');
  expect(seen.body).toMatchObject({
    active: true,
    client_id: web.client_id,
    scope: 'openid profile offline_access',
  });
  const me = await request(server.url).get('/me').auth(tokens.access_token, { type: 'bearer' });
  expect(me.body).toEqual({ sub: decodeJwt(tokens.id_token).sub, preferred_username: 'ada' });
});

test('a public app with PKCE refreshes; each refresh token works once', async () => {
  const bob = createPerson(server, 'bob');
  const first = await bob.tokensFor(spa);
  const refresh = (token: string) =>
    asApp(server, spa, { grant_type: 'refresh_token', refresh_token: token });
  const second = await refresh(first.refresh_token);
  expect(second.status).toBe(200);
  const repeated = await refresh(first.refresh_token);
  expect(repeated.body.refresh_token).toBe(second.body.refresh_token);
  const third = await refresh(second.body.refresh_token);
  expect(third.status).toBe(200);
  const stolen = await refresh(first.refresh_token);
  expect(stolen.status).toBe(400);
  expect(stolen.body.error).toBe('invalid_grant');
  const afterTheft = await refresh(third.body.refresh_token);
  expect(afterTheft.body.error).toBe('invalid_grant');
  expect(await isAlive(server, third.body.access_token)).toBe(false);
});
