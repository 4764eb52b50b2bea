/** The client of the Model Context Protocol's TypeScript SDK: OAuth without OpenID, found by an API and registered by itself. */
import { auth, type OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js';
import type { OAuthClientInformationMixed, OAuthTokens } from '@modelcontextprotocol/sdk/shared/auth.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { asApp, createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type Site, startSite } from './site.ts';

let server: TestServer;
let api: Site;
beforeAll(async () => {
  api = await startSite();
  // Without the slash at the end that the SDK sends.
  const tools = { audience: api.url, scopes: ['tools:call'], token_format: 'v4.local', client_id: 'api' };
  const settings = { REGISTRATION: 'open' };
  server = await startServer({ clients: [apps.intranet, apps.api], resources: [tools], settings });
  api.serve((req, res) => {
    const isMetadata = req.url?.startsWith('/.well-known/oauth-protected-resource');
    res.writeHead(isMetadata ? 200 : 401, { 'content-type': 'application/json' });
    res.end(isMetadata ? JSON.stringify({ resource: api.url, authorization_servers: [server.url] }) : '{}');
  });
});
afterAll(async () => {
  await server.close();
  await api.close();
});

interface Kept {
  client: OAuthClientInformationMixed | undefined;
  tokens: OAuthTokens | undefined;
  verifier: string;
  url: URL;
}

/** What the SDK leaves to an app: to keep things, and to send the browser on. */
function createApp(scope?: string) {
  const redirectUrl = 'http://127.0.0.1:4711/callback';
  const kept = {} as Kept;
  const provider: OAuthClientProvider = {
    redirectUrl,
    clientMetadata: {
      client_name: 'A tool',
      redirect_uris: ['http://127.0.0.1/callback'],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      client_uri: '',
      ...(scope === undefined ? {} : { scope }),
    },
    clientInformation: () => kept.client,
    saveClientInformation(client) {
      kept.client = client;
    },
    tokens: () => kept.tokens,
    saveTokens(tokens) {
      kept.tokens = tokens;
    },
    saveCodeVerifier(value) {
      kept.verifier = value;
    },
    codeVerifier: () => kept.verifier,
    redirectToAuthorization(url) {
      kept.url = url;
    },
  };
  return { provider, kept };
}

test.each([undefined, 'tools:call'])('signs a person in and refreshes, with the scope %s', async (scope) => {
  // It registers now, and tokens have the machine's time.
  server.clock.advance((Date.now() - server.clock.now()) / 1000);
  const { provider, kept } = createApp(scope);
  expect(await auth(provider, { serverUrl: api.url, ...(scope && { scope }) })).toBe('REDIRECT');
  const ada = createPerson(server, `ada-${scope ?? 'none'}`.replace(':', '-'));
  const begun = await ada.agent.get(kept.url.pathname + kept.url.search).expect(303);
  const back = await ada.travel(new URL(String(begun.headers.location), server.url));
  expect(back.origin).toBe('http://127.0.0.1:4711');
  const authorizationCode = back.searchParams.get('code') ?? back.search;
  expect(await auth(provider, { serverUrl: api.url, authorizationCode })).toBe('AUTHORIZED');

  const active = async () =>
    (await asApp(server, apps.api, { token: String(kept.tokens?.access_token) }, '/token/introspection'))
      .body;
  expect(await active()).toMatchObject({ active: true, aud: api.url, scope: 'tools:call' });
  const before = kept.tokens?.access_token;
  expect(await auth(provider, { serverUrl: api.url })).toBe('AUTHORIZED');
  expect(kept.tokens?.access_token).not.toBe(before);
  expect(await active()).toMatchObject({ active: true, aud: api.url });
});
