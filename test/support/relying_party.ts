/**
 * An app built on openid-client, a library that is independent of this project: discovery, the way to the provider
 * and back, tokens.
 */
import * as client from 'openid-client';
import type { App, Person } from './person.ts';
import type { TestServer } from './server.ts';

/** What openid-client knows of the provider and of itself. `metadata` are further registration values of the app. */
export const relyingParty = (
  server: Pick<TestServer, 'url'>,
  app: Pick<App, 'client_id' | 'client_secret'>,
  authentication?: client.ClientAuth,
  metadata: object = {},
): Promise<client.Configuration> =>
  client.discovery(
    new URL(server.url),
    app.client_id,
    { ...(app.client_secret ? { client_secret: app.client_secret } : {}), ...metadata },
    authentication ?? (app.client_secret ? client.ClientSecretBasic(app.client_secret) : client.None()),
    { execute: [client.allowInsecureRequests] },
  );

export interface Visit {
  parameters?: Record<string, string>;
  /** Pushes the request (RFC 9126). */
  push?: boolean;
  /** Signs the request (RFC 9101). */
  signedBy?: client.CryptoKey;
  DPoP?: client.DPoPHandle;
  /** More of what the token endpoint is sent. */
  exchange?: Record<string, string>;
}

/** From the address that an app sends its person to, on to where the provider sends them back. */
export async function throughProvider(person: Person, url: URL): Promise<URL> {
  const answer = await person.agent.get(url.pathname + url.search);
  if (answer.status !== 303) throw new Error(`authorize answered ${answer.status}: ${answer.text}`);
  return person.travel(new URL(String(answer.headers.location), url));
}

/** The same for a sign-out, which the person confirms where they are asked. */
export async function throughSignOut(person: Person, url: URL): Promise<URL> {
  const page = await person.agent.get(url.pathname + url.search).accept('html');
  if (page.status === 303) return new URL(String(page.headers.location));
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1];
  if (!xsrf) throw new Error(`the sign-out answered ${page.status}: ${page.text}`);
  const done = await person.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
  return new URL(String(done.headers.location));
}

/** Signs the person in at the app, as openid-client does it; what comes back has been checked by it. */
export async function signInAt(
  config: client.Configuration,
  app: App,
  person: Person,
  { parameters, push, signedBy, DPoP, exchange }: Visit = {},
) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()];
  const wanted = {
    redirect_uri: app.redirect_uri,
    scope: 'openid',
    state: expectedState,
    nonce: expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    ...parameters,
  };
  let url = client.buildAuthorizationUrl(config, wanted);
  if (signedBy) url = await client.buildAuthorizationUrlWithJAR(config, wanted, signedBy);
  if (push)
    url = await client.buildAuthorizationUrlWithPAR(config, url.searchParams, DPoP ? { DPoP } : undefined);
  const back = await throughProvider(person, url);
  const checks = { pkceCodeVerifier, expectedState, expectedNonce };
  return client.authorizationCodeGrant(config, back, checks, exchange, DPoP ? { DPoP } : undefined);
}
