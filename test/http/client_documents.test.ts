/** Client id metadata documents: an https address as client id, by configuration. Nobody vouches for such an app. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';
import request from 'supertest';
import { expect, test } from 'vitest';
import { overrideClient } from '../../src/oidc/library/models/client.ts';
import { startServer } from '../support/server.ts';

const id = 'https://app.example/client.json';
const good = {
  client_id: id,
  client_name: 'Some app',
  redirect_uris: ['https://app.example/callback'],
  token_endpoint_auth_method: 'none',
};

/** The library with our Client, on a web that holds this one document. */
async function found(document: object) {
  const asked: string[] = [];
  const key = await exportJWK((await generateKeyPair('RS256', { extractable: true })).privateKey);
  const provider = new Provider('http://localhost:1', {
    adapter: (() => ({ find: async () => undefined })) as never,
    jwks: { keys: [key] },
    cookies: { keys: ['x'] },
    extraClientMetadata: { properties: ['first_party', 'require_pkce', 'claims'] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      clientIdMetadataDocument: { enabled: true, ack: 'draft-02' },
    },
    ttl: { AccessToken: 900 },
    fetch: (async (url: string) => {
      asked.push(url);
      return Response.json(document);
    }) as never,
  });
  overrideClient(provider, {
    byId: async () => undefined,
    matches: () => false,
    now: Date.now,
  });
  const find = () => provider.Client.find(id);
  return { find, asked };
}

test('the document is fetched once and cached; it cannot make the app one of the operator’s own', async () => {
  const { find, asked } = await found({
    ...good,
    first_party: true,
    require_pkce: false,
    claims: { a: 'b' },
  });
  const client = (await find()) as unknown as Record<string, unknown>;
  await find();
  expect(asked).toEqual([id]);
  expect(client).toMatchObject({ clientId: id, first_party: false, require_pkce: true });
  expect(client.claims).toBeUndefined();
});

test.each([
  ['another id', { ...good, client_id: 'https://other.example/client.json' }],
  ['a shared secret', { ...good, token_endpoint_auth_method: 'client_secret_basic', client_secret: 'x' }],
  ['a redirect that is not https', { ...good, redirect_uris: ['http://app.example/callback'] }],
  [
    'tokens of its own',
    {
      ...good,
      grant_types: ['authorization_code', 'client_credentials'],
      token_endpoint_auth_method: 'private_key_jwt',
      jwks_uri: 'https://app.example/jwks',
    },
  ],
  ['a redirect that runs', { ...good, redirect_uris: ['javascript:alert(1)'] }],
])('a document with %s is refused', async (_, document) => {
  const { find } = await found(document);
  await expect(find()).rejects.toThrow();
});

test('an address on the inside is not asked, and the error says nothing of it; off, no address is', async () => {
  let contacts = 0;
  const inside = createServer(() => {})
    .on('connection', () => contacts++)
    .listen(0, '127.0.0.1');
  await once(inside, 'listening');
  const { port } = inside.address() as AddressInfo;
  for (const setting of ['on', 'off']) {
    const server = await startServer({ settings: { CLIENT_ID_METADATA_DOCUMENTS: setting } });
    const discovery = await request(server.url).get('/.well-known/openid-configuration');
    expect(discovery.body.client_id_metadata_document_supported === true).toBe(setting === 'on');
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]) {
      const answer = await request(server.url)
        .get('/auth')
        .query({ client_id: `https://${host}/client.json`, response_type: 'code', scope: 'openid' });
      expect(answer.status).toBe(400);
      expect(answer.headers.location).toBeUndefined();
    }
    await server.close();
  }
  inside.close();
  expect(contacts).toBe(0);
});
