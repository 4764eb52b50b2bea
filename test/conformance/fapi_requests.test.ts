/**
 * OpenID's plans for FAPI 2.0, the security profile and message signing (private_key_jwt and DPoP): what a client may ask for,
 * and pushed requests. Message signing has the same modules with signed requests and answers, and those of
 * fapi_request_objects.test.ts.
 */
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { createFapiParty, type FapiParty, fapiApp, makeKeys } from './fapi_party.ts';
import { expectMetadata } from './metadata.ts';

const [keys, keys2, dpop, dpop2] = await Promise.all([1, 2, 3, 4].map(() => makeKeys()));
if (!keys || !keys2 || !dpop || !dpop2) throw new Error('no keys');
const profiles = ['security', 'message_signing'] as const;
const apps = await Promise.all(
  profiles.flatMap((profile) => [
    fapiApp(`bank-${profile}`, profile, keys),
    fapiApp(`bank2-${profile}`, profile, keys2),
  ]),
);
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients: apps });
  ada = createPerson(server, 'ada');
});
afterAll(() => server.close());

/** Ada in a browser that knows nothing of her. */
const newBrowser = () => Object.assign(createPerson(server, 'ada'), { totpSecret: ada.totpSecret });
const refused = ({ status, body }: request.Response) => [status, body.error];

describe.each([
  ['fapi2-security-profile-final-test-plan', 'security'],
  ['fapi2-message-signing-final-test-plan', 'message_signing'],
] as const)('%s', (_plan, profile) => {
  let bank: FapiParty;
  let other: FapiParty;
  beforeAll(async () => {
    const [first, second] = apps.filter(({ fapi }) => fapi === profile);
    if (!first || !second) throw new Error('no clients');
    bank = createFapiParty(server, first, keys, dpop);
    other = createFapiParty(server, second, keys2, dpop2);
    await bank.succeed(ada);
  });

  test('fapi2-security-profile-final-discovery-end-point-verification', async () => {
    const metadata = await expectMetadata(server, server.url);
    expect(metadata).toMatchObject({
      authorization_response_iss_parameter_supported: true,
      pushed_authorization_request_endpoint: `${server.url}/request`,
      response_types_supported: expect.arrayContaining(['code']),
      token_endpoint_auth_methods_supported: expect.arrayContaining(['private_key_jwt']),
      dpop_signing_alg_values_supported: expect.arrayContaining(['ES256', 'PS256']),
      request_object_signing_alg_values_supported: expect.arrayContaining(['ES256', 'PS256']),
      authorization_signing_alg_values_supported: expect.arrayContaining(['ES256']),
      response_modes_supported: expect.arrayContaining(['jwt', 'query.jwt', 'form_post.jwt']),
    });
    expect(typeof (metadata.require_pushed_authorization_requests ?? false)).toBe('boolean');
  });

  test('fapi2-security-profile-final-happy-flow', async () => {
    const first = await bank.succeed(ada);
    expect((await other.succeed(ada)).claims.sub).toBe(first.claims.sub);
    expect(first.answer.by).toBe('query');
    const { access_token } = first.tokens;
    expect((await request(server.url).get('/me').query({ access_token })).status).toBe(400);
    expect((await bank.userinfo(access_token, { scheme: 'Bearer', proof: 'none' })).status).toBe(401);
  });

  test('fapi2-security-profile-final-user-rejects-authentication', async () => {
    const answer = await bank.ask(ada, { params: { prompt: 'consent' } }, {}, 'deny');
    expect(answer.params).toMatchObject({ error: 'access_denied', state: 'a state', iss: server.url });
    expect(answer.params).not.toHaveProperty('code');
  });

  test('fapi2-security-profile-final-ensure-authorization-request-without-state-success', async () => {
    const { answer, claims } = await bank.succeed(ada, { params: { state: undefined } });
    expect(answer.params).not.toHaveProperty('state');
    expect(claims).not.toHaveProperty('s_hash');
  });

  test('fapi2-security-profile-final-ensure-authorization-request-without-nonce-success', async () => {
    const { claims } = await bank.succeed(ada, { params: { nonce: undefined } });
    expect(claims).not.toHaveProperty('nonce');
  });

  test('fapi2-security-profile-final-ensure-authorization-request-with-64-char-nonce-success', async () => {
    await bank.succeed(ada, { params: { nonce: 'n'.repeat(64) } });
  });

  test('fapi2-security-profile-final-ensure-authorization-request-with-long-nonce', async () => {
    await bank.succeed(ada, { params: { nonce: 'n'.repeat(384) } });
  });

  test('fapi2-security-profile-final-ensure-authorization-request-with-long-state', async () => {
    await bank.succeed(ada, { params: { state: 's'.repeat(1000) } });
  });

  test('fapi2-security-profile-final-ensure-other-scope-order-succeeds', async () => {
    const { userinfo } = await bank.succeed(ada, { params: { scope: 'email openid' } });
    expect(userinfo).toHaveProperty('email');
  });

  test('fapi2-security-profile-final-test-claims-parameter-identity-claims', async () => {
    const { claims_supported } = await expectMetadata(server, server.url);
    const wanted: [string, object | null][] = claims_supported
      .filter((claim: string) => !['sub', 'iss', 'sid', 'acr', 'amr', 'auth_time'].includes(claim))
      .map((claim: string, index: number) => [claim, index % 2 ? null : { essential: true }]);
    const userinfo = Object.fromEntries([...wanted, ['a_claim_that_nobody_knows', null]]);
    const done = await bank.succeed(ada, { params: { claims: JSON.stringify({ userinfo }) } });
    expect(Object.keys(done.userinfo).sort()).toEqual(['sub', ...wanted.map(([name]) => name)].sort());
  });

  test('fapi2-security-profile-final-ensure-different-nonce-inside-and-outside-request-object', async () => {
    await bank.succeed(ada, {}, { nonce: 'another nonce' });
  });

  test('fapi2-security-profile-final-ensure-different-state-inside-and-outside-request-object', async () => {
    await bank.succeed(ada, {}, { state: 'another state' });
  });

  test('fapi2-security-profile-final-state-only-outside-request-object-not-used', async () => {
    const { answer } = await bank.succeed(ada, { params: { state: undefined } }, { state: 'outside' });
    expect(answer.params).not.toHaveProperty('state');
  });

  test('fapi2-security-profile-final-ensure-request-object-without-redirect-uri-fails', async () => {
    const [status, error] = refused(await bank.push({ params: { redirect_uri: undefined } }));
    expect(status).toBe(400);
    expect(['invalid_request', 'invalid_request_object']).toContain(error);
  });

  test('fapi2-security-profile-final-ensure-redirect-uri-in-authorization-request', async () => {
    const [status, error] = refused(await bank.push({ params: { redirect_uri: undefined } }));
    expect([status, error]).toEqual([400, expect.stringMatching(/^invalid_request/)]);
  });

  test('fapi2-security-profile-final-ensure-registered-redirect-uri', async () => {
    const redirect_uri = `${bank.app.redirect_uri}/${crypto.randomUUID()}`;
    expect(refused(await bank.push({ params: { redirect_uri } }))[0]).toBe(400);
  });

  test('fapi2-security-profile-final-plain-fapi-tolerate-unregistered-redirect-uri', async () => {
    // A provider may take an address that a client pushes (RFC 9126, section 2.4); this one takes registered ones alone.
    const pushed = await bank.push({ params: { redirect_uri: 'https://web.example/another' } });
    expect(refused(pushed)).toEqual([400, 'invalid_request']);
  });

  test('fapi2-security-profile-final-ensure-unsigned-authorization-request-without-using-par-fails', async () => {
    const sent = await ada.agent.get('/auth').query(bank.request()).accept('html');
    const { location } = sent.headers;
    if (location === undefined) return expect(sent.status).toBe(400);
    const at = new URL(location);
    const params = Object.fromEntries(at.searchParams);
    const answer = await bank.open({ by: 'query', at, status: 303, params, asked: [], pages: [] });
    expect(answer.params).toMatchObject({ error: 'invalid_request' });
    expect(answer.params).not.toHaveProperty('code');
  });

  test.each([
    ['fapi2-security-profile-final-ensure-response-type-code-idtoken-fails', 'code id_token'],
    ['fapi2-security-profile-final-ensure-response-type-token-fails', 'token'],
  ])('%s', async (_name, response_type) => {
    const [status, error] = refused(await bank.push({ params: { response_type } }));
    expect(status).toBe(400);
    expect(['unsupported_response_type', 'invalid_request', 'unauthorized_client']).toContain(error);
  });

  test('fapi2-security-profile-final-par-ensure-reused-request-uri-prior-to-auth-completion-succeeds', async () => {
    const { request_uri } = (await bank.push()).body;
    const browser = newBrowser();
    const first = await browser.agent.get('/auth').query({ client_id: bank.app.client_id, request_uri });
    expect(first.headers.location).toMatch(/\/interaction\//);
    expect((await bank.visit(browser, request_uri)).params).toHaveProperty('code');
  });

  test('fapi2-security-profile-final-par-attempt-reuse-request_uri', async () => {
    const { request_uri } = (await bank.push()).body;
    expect((await bank.visit(ada, request_uri)).params).toHaveProperty('code');
    const again = await bank.visit(ada, request_uri);
    expect([again.by, again.status]).toEqual(['page', 400]);
  });

  test('fapi2-security-profile-final-par-attempt-to-use-expired-request_uri', async () => {
    const { request_uri, expires_in } = (await bank.push()).body;
    expect(expires_in).toBeLessThan(600);
    server.clock.advance(expires_in + 1);
    const late = await bank.visit(ada, request_uri);
    expect([late.by, late.status]).toEqual(['page', 400]);
  });

  test('fapi2-security-profile-final-par-attempt-to-use-request_uri-for-different-client', async () => {
    const { request_uri } = (await bank.push()).body;
    const foreign = await other.visit(ada, request_uri);
    expect([foreign.by, foreign.status]).toEqual(['page', 400]);
  });

  test('fapi2-security-profile-final-par-authorization-request-containing-request_uri-form-param', async () => {
    const request_uri = 'urn:ietf:params:oauth:request_uri:something';
    const [status, error] = refused(await bank.post('/request', { ...bank.request(), request_uri }));
    expect(status).toBe(400);
    expect(['invalid_request', 'invalid_request_object', 'request_uri_not_supported']).toContain(error);
  });

  test('fapi2-security-profile-final-par-attempt-invalid-http-method', async () => {
    const { status } = await request(server.url).put('/request').type('form').send(bank.request());
    expect([404, 405]).toContain(status);
  });

  test('fapi2-security-profile-final-par-without-duplicate-parameters', async () => {
    await bank.succeed(ada);
  });

  test('fapi2-security-profile-final-par-ensure-pkce-required', async () => {
    const params = { code_challenge: undefined, code_challenge_method: undefined };
    expect(refused(await bank.push({ params }))).toEqual([400, 'invalid_request']);
  });

  test('fapi2-security-profile-final-par-plain-pkce-rejected', async () => {
    const params = { code_challenge: 'v'.repeat(43), code_challenge_method: 'plain' };
    expect(refused(await bank.push({ params }))).toEqual([400, 'invalid_request']);
  });
});
