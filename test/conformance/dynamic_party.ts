/** Clients that register themselves as the suite's do: with private_key_jwt, RS256, and no PKCE. */
import { exportJWK, type GenerateKeyPairResult, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import request from 'supertest';
import { expect } from 'vitest';
import type { TestServer } from '../support/server.ts';
import type { Party } from './party.ts';

export interface ClientKey extends GenerateKeyPairResult {
  kid: string;
}

export async function makeClientKey(kid: string): Promise<ClientKey> {
  return { ...(await generateKeyPair('RS256', { extractable: true })), kid };
}

export const jwksOf = async (...keys: ClientKey[]) => ({
  keys: await Promise.all(
    keys.map(async ({ publicKey, kid }) => ({
      ...(await exportJWK(publicKey)),
      kid,
      use: 'sig',
      alg: 'RS256',
    })),
  ),
});

export const signedBy = ({ privateKey, kid }: ClientKey, claims: JWTPayload): Promise<string> =>
  new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid }).setIssuedAt().sign(privateKey);

/** Sends a registration, with an initial access token. */
export const register = async (
  server: TestServer,
  token: string,
  metadata: object,
): Promise<request.Response> =>
  request(server.url).post('/reg').auth(token, { type: 'bearer' }).send(metadata);

/** A registered client. `metadata` on top of the usual; `key` may be replaced while it lives. */
export async function registered(
  server: TestServer,
  key: ClientKey,
  { token, metadata = {} }: { token: string; metadata?: object },
) {
  const redirect_uri = 'https://rp.example/callback';
  const { status, body } = await register(server, token, {
    client_name: 'A relying party',
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: [redirect_uri],
    contacts: ['somebody@rp.example'],
    token_endpoint_auth_method: 'private_key_jwt',
    ...('jwks_uri' in metadata ? {} : { jwks: await jwksOf(key) }),
    ...metadata,
  });
  expect([status, body]).toEqual([201, expect.objectContaining({ client_id: expect.any(String) })]);
  const { client_id, redirect_uris } = body;
  const client = {
    client_id,
    redirect_uri: redirect_uris[0] as string,
    body,
    key,
    /** The audience of its assertions. */
    audience: `${server.url}/token`,
    assertion: () =>
      signedBy(client.key, {
        iss: client_id,
        sub: client_id,
        aud: client.audience,
        jti: crypto.randomUUID(),
        exp: Math.floor(Date.now() / 1000) + 60,
      }),
  };
  return client satisfies Party;
}
