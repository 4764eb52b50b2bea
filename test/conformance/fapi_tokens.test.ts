/** OpenID's plans for FAPI 2.0: the token endpoint, client assertions, DPoP and refresh. */

import type request from 'supertest';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { createFapiParty, type FapiParty, fapiApp, hashOf, makeKeys, type Pushed } from './fapi_party.ts';
import { checkIdToken } from './party.ts';

const [keys, keys2, rsa, dpop, dpop2] = await Promise.all(
  ['ES256', 'ES256', 'PS256', 'ES256', 'ES256'].map((alg) => makeKeys(alg)),
);
if (!keys || !keys2 || !rsa || !dpop || !dpop2) throw new Error('no keys');
const profiles = ['security', 'message_signing'] as const;
const apps = await Promise.all(
  profiles.flatMap((profile) => [
    fapiApp(`bank-${profile}`, profile, keys),
    fapiApp(`bank2-${profile}`, profile, keys2),
    fapiApp(`rsa-${profile}`, profile, rsa),
  ]),
);
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients: apps });
  ada = createPerson(server, 'ada');
});
afterAll(() => server.close());

const refused = ({ status, body }: request.Response) => [status, body.error];
const invalidGrant = [400, 'invalid_grant'];
/** What a refused client authentication is called. */
const expectInvalidClient = (answer: request.Response) => {
  expect([400, 401]).toContain(answer.status);
  expect(['invalid_client', 'invalid_request']).toContain(answer.body.error);
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
};
const seconds = () => Math.floor(Date.now() / 1000);

describe.each([
  ['fapi2-security-profile-final-test-plan', 'security'],
  ['fapi2-message-signing-final-test-plan', 'message_signing'],
] as const)('%s', (_plan, profile) => {
  let bank: FapiParty;
  let other: FapiParty;
  let strong: FapiParty;
  beforeAll(async () => {
    const [first, second, third] = apps.filter(({ fapi }) => fapi === profile);
    if (!first || !second || !third) throw new Error('no clients');
    bank = createFapiParty(server, first, keys, dpop);
    other = createFapiParty(server, second, keys2, dpop2);
    strong = createFapiParty(server, third, rsa, dpop);
    await bank.succeed(ada);
  });
  /** A token request that is wrong in one thing. */
  const redeeming = async (pushed: Pushed, form: object = {}) =>
    bank.redeem(await bank.ask(ada), form, pushed);

  test('fapi2-security-profile-final-access-token-type-header-case-sensitivity', async () => {
    const { tokens } = await bank.succeed(ada);
    for (const scheme of ['dPOP', 'dpop', 'DPOP'])
      expect((await bank.userinfo(tokens.access_token, { scheme })).status).toBe(200);
  });

  test('fapi2-security-profile-final-check-dpop-proof-nbf-exp', async () => {
    const times = { nbf: seconds() - 1, exp: seconds() + 60 };
    const proof = await bank.proof('POST', '/token', times);
    expect((await redeeming({ proof })).status).toBe(200);
  });

  test.each([
    ['fapi2-security-profile-final-ensure-dpopproof-with-iat-10seconds-before-succeeds', -10],
    ['fapi2-security-profile-final-ensure-dpopproof-with-iat-10seconds-after-succeeds', 10],
  ])('%s', async (_name, off) => {
    const iat = () => ({ iat: seconds() + off });
    const pushed = await bank.push({ proof: await bank.proof('POST', '/request', iat()) });
    const answer = await bank.visit(ada, pushed.body.request_uri);
    const exchanged = await bank.redeem(answer, {}, { proof: await bank.proof('POST', '/token', iat()) });
    const { access_token } = exchanged.body;
    const proof = await bank.proof('GET', '/me', { ...iat(), ath: hashOf(access_token) });
    expect((await bank.userinfo(access_token, { proof })).status).toBe(200);
  });

  test('fapi2-security-profile-final-ensure-mismatched-dpop-jkt-fails', async () => {
    const params = { dpop_jkt: hashOf('another key') };
    const [status, error] = refused(await bank.push({ params, proof: await bank.proof('POST', '/request') }));
    expect(status).toBe(400);
    expect(['invalid_request', 'invalid_dpop_proof']).toContain(error);
  });

  test('fapi2-security-profile-final-ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt', async () => {
    const answer = await bank.ask(ada, { proof: await bank.proof('POST', '/request') });
    const proof = await bank.proof('POST', '/token', {}, { keys: dpop2 });
    expect(refused(await bank.redeem(answer, {}, { proof }))).toEqual(invalidGrant);
  });

  test('fapi2-security-profile-final-ensure-token-endpoint-fails-with-mismatched-dpop-jkt', async () => {
    const answer = await bank.ask(ada, { params: { dpop_jkt: hashOf('another key') } });
    expect(refused(await bank.redeem(answer))).toEqual(invalidGrant);
  });

  test('fapi2-security-profile-final-ensure-dpopproof-at-par-endpoint-binding-success', async () => {
    await bank.succeed(ada, { proof: await bank.proof('POST', '/request') });
  });

  test('fapi2-security-profile-final-ensure-dpop-auth-code-binding-success', async () => {
    const dpop_jkt = await bank.thumbprint();
    const proof = await bank.proof('POST', '/request');
    await bank.succeed(ada, { params: { dpop_jkt }, proof });
    await bank.succeed(ada, { params: { dpop_jkt } });
  });

  test('fapi2-security-profile-final-ensure-client-id-in-token-endpoint', async () => {
    const [status, error] = refused(await redeeming({}, { client_id: other.app.client_id }));
    expect([400, 401]).toContain(status);
    expect(['invalid_client', 'invalid_grant', 'invalid_request']).toContain(error);
  });

  test('fapi2-security-profile-final-ensure-holder-of-key-required', async () => {
    const unproven = await bank.redeem(await bank.ask(ada), {}, { proof: undefined });
    const [status, error] = refused(unproven);
    expect(status).toBe(400);
    expect(['invalid_request', 'invalid_grant', 'invalid_dpop_proof']).toContain(error);
  });

  test('fapi2-security-profile-final-ensure-authorization-code-is-bound-to-client', async () => {
    const answer = await bank.ask(ada);
    expect(refused(await other.redeem(answer, { code_verifier: bank.codeVerifier }))).toEqual(invalidGrant);
  });

  test('fapi2-security-profile-final-attempt-reuse-authorization-code-after-one-second', async () => {
    const answer = await bank.ask(ada);
    const { access_token } = (await bank.redeem(answer)).body;
    expect((await bank.userinfo(access_token)).status).toBe(200);
    server.clock.advance(1);
    expect(refused(await bank.redeem(answer))).toEqual(invalidGrant);
    expect((await bank.userinfo(access_token)).status).toBe(401);
  });

  test('fapi2-security-profile-final-ensure-token-endpoint-fails-with-expired-auth-code', async () => {
    const answer = await bank.ask(ada);
    server.clock.advance(62);
    expect(refused(await bank.redeem(answer))).toEqual(invalidGrant);
  });

  test('fapi2-security-profile-final-ensure-signed-client-assertion-with-RS256-fails', async () => {
    const answer = await strong.ask(ada);
    const signing = { keys: await strong.asRs256(), alg: 'RS256' };
    expectInvalidClient(await strong.redeem(answer, {}, { signing }));
    expect((await strong.redeem(answer)).status).toBe(200);
  });

  test('fapi2-security-profile-final-ensure-client-assertion-in-token-endpoint', async () => {
    expectInvalidClient(await redeeming({ assertion: 'none' }));
  });

  test.each([
    ['fapi2-security-profile-final-ensure-client-assertion-with-exp-is-5-minutes-in-past-fails', 'exp'],
    ['fapi2-security-profile-final-ensure-client-assertion-with-wrong-aud-fails', 'aud'],
    ['fapi2-security-profile-final-ensure-client-assertion-with-no-sub-fails', 'sub'],
  ])('%s', async (_name, claim) => {
    const wrong = { exp: seconds() - 300, aud: 'https://other.example', sub: undefined }[claim];
    expectInvalidClient(await redeeming({ assertion: { [claim]: wrong } }));
  });

  test('fapi2-security-profile-final-ensure-pkce-code-verifier-required', async () => {
    expect(refused(await redeeming({}, { code_verifier: undefined }))).toEqual(invalidGrant);
  });

  test('fapi2-security-profile-final-incorrect-pkce-code-verifier-rejected', async () => {
    expect(refused(await redeeming({}, { code_verifier: 'v'.repeat(43) }))).toEqual(invalidGrant);
  });

  test('fapi2-security-profile-final-par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted', async () => {
    const now = seconds();
    const assertion = { iat: now + 8, nbf: now + 8, exp: now + 68 };
    expect((await bank.push({ assertion })).status).toBe(201);
  });

  test('fapi2-security-profile-final-par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails', async () => {
    const now = seconds();
    expectInvalidClient(await bank.push({ assertion: { iat: now + 70, nbf: now + 70, exp: now + 130 } }));
  });

  test.each([
    ['fapi2-security-profile-final-par-test-array-as-audience-fails', 'array'],
    ['fapi2-security-profile-final-par-test-par-endpoint-url-as-audience-fails', '/request'],
    ['fapi2-security-profile-final-par-test-token-endpoint-url-as-audience-fails', '/token'],
  ])('%s', async (_name, where) => {
    const aud = where === 'array' ? [server.url, `${server.url}/request`] : `${server.url}${where}`;
    expectInvalidClient(await bank.push({ assertion: { aud } }));
  });

  test('fapi2-security-profile-final-dpop-negative-tests', async () => {
    const { access_token } = (await bank.succeed(ada)).tokens;
    const ath = hashOf(access_token);
    const use = async (proof: string) => (await bank.userinfo(access_token, { proof })).status;
    const proof = (claims: object = {}, signing = {}, [htm, path] = ['GET', '/me']) =>
      bank.proof(htm ?? '', path ?? '', { ath, ...claims }, signing);
    expect((await bank.userinfo(access_token, { scheme: 'Bearer', proof: 'none' })).status).toBe(401);
    expect(await use('none')).toBe(400);
    const once = await proof();
    expect([await use(once), await use(once)]).toEqual([200, 401]);
    const jwk = await bank.privateJwk();
    for (const [what, wrong] of Object.entries({
      'another method': await proof({}, {}, ['POST', '/me']),
      'another address': await proof({}, {}, ['GET', '/token']),
      'another key': await proof({}, { keys: dpop2 }),
      'no jti': await proof({ jti: undefined }),
      'no htm': await proof({ htm: undefined }),
      'no htu': await proof({ htu: undefined }),
      'no iat': await proof({ iat: undefined }),
      'no ath': await proof({ ath: undefined }),
      'the hash of another token': await proof({ ath: hashOf('another token') }),
      'made too long ago': await proof({ iat: seconds() - 600 }),
      'made far in the future': await proof({ iat: seconds() + 600 }),
      'another type': await proof({}, { header: { typ: 'jwt' } }),
      'a private key inside': await proof({}, { header: { jwk } }),
      'no key inside': await proof({}, { header: { jwk: undefined } }),
      'a broken signature': `${(await proof()).slice(0, -6)}AAAAAA`,
      'the algorithm none': (await proof()).replace(/^[^.]+/, await bank.unsignedHeader()),
      'not a proof': 'rubbish',
    }))
      expect.soft([what, await use(wrong)]).toEqual([what, 401]);
  });

  test('fapi2-security-profile-final-refresh-token', async () => {
    const params = { scope: 'openid offline_access', prompt: 'consent' };
    const { tokens, claims } = await bank.succeed(ada, { params });
    expect(tokens.refresh_token).toMatch(/^[\x20-\x7e]+$/);
    const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
    const refresh = async (by: FapiParty, pushed: Pushed) => by.post('/token', form, pushed);
    const unproven = refused(await refresh(bank, {}));
    expect(unproven[0]).toBe(400);
    expectInvalidClient(
      await refresh(bank, { assertion: 'none', proof: await bank.proof('POST', '/token') }),
    );
    expect(refused(await refresh(other, { proof: await other.proof('POST', '/token') }))).toEqual(
      invalidGrant,
    );
    // The client is known by its own key: its proofs may come by a new one (RFC 9449, section 5).
    const proof = await bank.proof('POST', '/token', {}, { keys: dpop2 });
    const refreshed = await refresh(bank, { proof });
    expect([refreshed.status, refreshed.body.token_type]).toEqual([200, 'DPoP']);
    const fresh = await checkIdToken(server, bank.app, refreshed.body, { alg: 'ES256', nonce: 'a nonce' });
    expect([fresh.sub, fresh.aud, fresh.iss]).toEqual([claims.sub, claims.aud, claims.iss]);
    const me = await bank.proof('GET', '/me', { ath: hashOf(refreshed.body.access_token) }, { keys: dpop2 });
    expect((await bank.userinfo(refreshed.body.access_token, { proof: me })).status).toBe(200);
  });
});
