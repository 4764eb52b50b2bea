/** oauth4webapi, which leaves every step to the app and checks each of them. */
import * as oauth from 'oauth4webapi';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson } from '../support/person.ts';
import { throughProvider, throughSignOut } from '../support/relying_party.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web } = apps;
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: [web] });
});
afterAll(() => server.close());

test('a whole sign-in: discovery, code, ID token with its signature, userinfo, refresh, revocation, sign-out', async () => {
  const ada = createPerson(server, 'ada');
  const issuer = new URL(server.url);
  const http = { [oauth.allowInsecureRequests]: true };
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http));
  const client: oauth.Client = { client_id: web.client_id };
  const authentication = oauth.ClientSecretBasic(web.client_secret);
  const code_verifier = oauth.generateRandomCodeVerifier();
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];

  const begin = new URL(String(as.authorization_endpoint));
  begin.search = new URLSearchParams({
    client_id: web.client_id,
    redirect_uri: web.redirect_uri,
    response_type: 'code',
    scope: 'openid profile',
    code_challenge: await oauth.calculatePKCECodeChallenge(code_verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
  }).toString();
  const back = await throughProvider(ada, begin);
  const answer = oauth.validateAuthResponse(as, client, back, state);

  const exchanged = await oauth.authorizationCodeGrantRequest(
    as,
    client,
    authentication,
    answer,
    web.redirect_uri,
    code_verifier,
    http,
  );
  const tokens = await oauth.processAuthorizationCodeResponse(as, client, exchanged, {
    expectedNonce: nonce,
    requireIdToken: true,
  });
  await oauth.validateApplicationLevelSignature(as, exchanged, http);
  const claims = oauth.getValidatedIdTokenClaims(tokens);
  const told = await oauth.userInfoRequest(as, client, tokens.access_token, http);
  const person = await oauth.processUserInfoResponse(as, client, claims?.sub ?? '', told);
  expect(person.preferred_username).toBe('ada');

  const renewed = await oauth.refreshTokenGrantRequest(
    as,
    client,
    authentication,
    String(tokens.refresh_token),
    http,
  );
  const fresh = await oauth.processRefreshTokenResponse(as, client, renewed);
  expect(fresh.access_token).not.toBe(tokens.access_token);

  const revoked = await oauth.revocationRequest(as, client, authentication, fresh.access_token, http);
  await oauth.processRevocationResponse(revoked);
  const refused = await oauth.userInfoRequest(as, client, fresh.access_token, http);
  await expect(oauth.processUserInfoResponse(as, client, oauth.skipSubjectCheck, refused)).rejects.toThrow();

  const leave = new URL(String(as.end_session_endpoint));
  const home = web.post_logout_redirect_uris[0] ?? '';
  const hint = { id_token_hint: String(fresh.id_token), post_logout_redirect_uri: home };
  leave.search = new URLSearchParams(hint).toString();
  expect((await throughSignOut(ada, leave)).href).toBe(home);
});
