/** OpenID's plans for the basic profile and for form_post: what codes, tokens, scopes and userinfo must be. */
import { decodeProtectedHeader } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { asApp, challengeOf, createPerson, type Person, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ask, checkIdToken, type Params, redeem, succeed, userinfo } from './party.ts';

/** The suite's clients: confidential, without PKCE. */
const rp = { ...apps.web, client_id: 'rp', require_pkce: false };
const second = { ...rp, client_id: 'second', client_secret: 'a-secret-of-the-second-0123456789abcdef' };
const posting = { ...rp, client_id: 'posting', token_endpoint_auth_method: 'client_secret_post' };
const unsigned = { ...rp, client_id: 'unsigned', id_token_signed_response_alg: 'none' };
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients: [rp, second, posting] });
  ada = createPerson(server, 'ada');
  await succeed(server, ada, rp);
});
afterAll(() => server.close());

const discovered = async () => (await request(server.url).get('/.well-known/openid-configuration')).body;
const bearer = { type: 'bearer' } as const;

describe.each([
  ['oidcc-basic-certification-test-plan', {}],
  ['oidcc-formpost-basic-certification-test-plan', { response_mode: 'form_post' }],
] as const)('%s', (_plan, mode) => {
  const succeeding = (params: Params = {}, app = rp) => succeed(server, ada, app, { ...mode, ...params });

  test('oidcc-server', async () => {
    const { claims, tokens } = await succeeding();
    expect(claims).toMatchObject({ iss: server.url, aud: rp.client_id, nonce: 'a nonce' });
    expect(tokens.access_token.length).toBeGreaterThan(22);
    // The second client's login is the same person's.
    expect((await succeeding({}, second)).claims.sub).toBe(claims.sub);
    expect(Object.keys((await succeeding()).userinfo)).toEqual(['sub']);
  });

  test('oidcc-server-client-secret-post', async () => {
    const answer = await ask(server, ada, posting, mode);
    const { client_id, client_secret, redirect_uri } = posting;
    const form = { grant_type: 'authorization_code', code: answer.params.code, redirect_uri };
    const exchanged = await request(server.url)
      .post('/token')
      .type('form')
      .send({ ...form, client_id, client_secret });
    expect(exchanged.status).toBe(200);
    await checkIdToken(server, posting, exchanged.body, { nonce: 'a nonce' });
  });

  test('oidcc-idtoken-signature', async () => {
    const { tokens } = await succeeding();
    const { alg, kid } = decodeProtectedHeader(tokens.id_token);
    const { body } = await request(server.url).get('/jwks');
    expect(alg).toBe('RS256');
    expect(body.keys.map((key: { kid: string }) => key.kid)).toContain(kid);
  });

  test('oidcc-idtoken-unsigned', async () => {
    // The suite skips the module where `none` is not offered; whoever asks for it all the same is refused.
    expect((await discovered()).id_token_signing_alg_values_supported).not.toContain('none');
    await expect(startServer({ clients: [unsigned] })).rejects.toThrow(/id_token_signed_response_alg/);
  });

  test('oidcc-userinfo-get', async () => {
    const { tokens, claims } = await succeeding();
    const answer = await userinfo(server, tokens.access_token);
    expect(answer.headers['content-type']).toMatch(/^application\/json/);
    expect(answer.body.sub).toBe(claims.sub);
  });

  test('oidcc-userinfo-post-header', async () => {
    const { tokens, claims } = await succeeding();
    const answer = await request(server.url).post('/me').auth(tokens.access_token, bearer);
    expect([answer.status, answer.body.sub]).toEqual([200, claims.sub]);
    expect((await request(server.url).post('/me').auth('wrong', bearer)).status).toBe(401);
  });

  test('oidcc-userinfo-post-body', async () => {
    const { tokens, claims } = await succeeding();
    const { access_token } = tokens;
    const answer = await request(server.url).post('/me').type('form').send({ access_token });
    expect([answer.status, answer.body.sub]).toEqual([200, claims.sub]);
    expect((await request(server.url).get('/me').query({ access_token })).status).toBe(400);
  });

  test('oidcc-scope-profile', async () => {
    const { userinfo } = await succeeding({ scope: 'openid profile' });
    expect(userinfo).toEqual({ sub: expect.any(String), preferred_username: 'ada' });
  });

  test('oidcc-scope-email', async () => {
    const { userinfo } = await succeeding({ scope: 'openid email' });
    const email = { email: 'ada@example.org', email_verified: false };
    expect(userinfo).toEqual({ sub: expect.any(String), ...email });
  });

  test('oidcc-scope-address', async () => {
    // An account has no address: the scope is not offered, for which the suite skips the module, and harms nobody.
    expect((await discovered()).scopes_supported).not.toContain('address');
    const { tokens, userinfo } = await succeeding({ scope: 'openid address' });
    expect([tokens.scope, Object.keys(userinfo)]).toEqual(['openid', ['sub']]);
  });

  test('oidcc-scope-phone', async () => {
    expect((await discovered()).scopes_supported).not.toContain('phone');
    const { tokens, userinfo } = await succeeding({ scope: 'openid phone' });
    expect([tokens.scope, Object.keys(userinfo)]).toEqual(['openid', ['sub']]);
  });

  test('oidcc-scope-all', async () => {
    const { tokens, userinfo } = await succeeding({ scope: 'openid email phone address profile' });
    expect(tokens.scope.split(' ').sort()).toEqual(['email', 'openid', 'profile']);
    const claims = ['email', 'email_verified', 'preferred_username', 'sub'];
    expect(Object.keys(userinfo).sort()).toEqual(claims);
  });

  test('oidcc-claims-essential', async () => {
    // An account has no name: what cannot be told is left out, and the login succeeds (Core, section 5.5.1).
    const claims = JSON.stringify({ userinfo: { name: { essential: true } } });
    const { userinfo } = await succeeding({ claims });
    expect(userinfo).not.toHaveProperty('name');
  });

  test('oidcc-codereuse', async () => {
    const answer = await ask(server, ada, rp, mode);
    expect((await redeem(server, rp, answer)).status).toBe(200);
    const again = await redeem(server, rp, answer);
    expect([again.status, again.body.error]).toEqual([400, 'invalid_grant']);
  });

  test('oidcc-codereuse-30seconds', async () => {
    const answer = await ask(server, ada, rp, mode);
    const { access_token } = (await redeem(server, rp, answer)).body;
    expect((await userinfo(server, access_token)).status).toBe(200);
    server.clock.advance(30);
    const again = await redeem(server, rp, answer);
    expect([again.status, again.body.error]).toEqual([400, 'invalid_grant']);
    expect((await userinfo(server, access_token)).status).toBe(401);
  });

  test('oidcc-refresh-token', async () => {
    const offline = { scope: 'openid offline_access', prompt: 'consent' };
    const { tokens, claims } = await succeeding(offline);
    expect((await discovered()).grant_types_supported).toContain('refresh_token');
    expect(tokens.refresh_token).toMatch(/^[\x20-\x7e]+$/);
    server.clock.advance(1);
    const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
    const refreshed = await asApp(server, rp, { ...form, scope: 'openid offline_access' });
    expect(refreshed.status).toBe(200);
    expect(refreshed.headers['cache-control']).toContain('no-store');
    expect(refreshed.body).toMatchObject({ token_type: 'Bearer', expires_in: expect.any(Number) });
    expect(refreshed.body.access_token).not.toBe(tokens.access_token);
    const fresh = await checkIdToken(server, rp, refreshed.body, { nonce: 'a nonce' });
    const { iss, sub, aud, auth_time } = claims;
    expect(fresh).toMatchObject({ iss, sub, aud, auth_time });
    expect(Number(fresh.iat)).toBeGreaterThanOrEqual(Number(claims.iat));
    expect((await userinfo(server, refreshed.body.access_token)).body.sub).toBe(sub);
    // Another client's refresh token is refused.
    const foreign = await asApp(server, second, { ...form, refresh_token: refreshed.body.refresh_token });
    expect([foreign.status, foreign.body.error]).toEqual([400, 'invalid_grant']);
  });

  test('oidcc-ensure-request-with-valid-pkce-succeeds', async () => {
    const code_verifier = verifier();
    const pkce = { code_challenge: challengeOf(code_verifier), code_challenge_method: 'S256' };
    const answer = await ask(server, ada, rp, { ...mode, ...pkce });
    expect((await redeem(server, rp, answer, { code_verifier })).status).toBe(200);
  });
});
