/** Keys that an app publishes at its `jwks_uri`: fetched again where one is missing, and not kept for ever. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startServer, type TestServer } from '../support/server.ts';

const make = async (kid: string) => {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' } };
};
type Key = Awaited<ReturnType<typeof make>>;
const first = await make('first');
const second = await make('second');

let site: Server;
let server: TestServer;
let fetched = 0;
let published: { status: number; keys: Key[] } = { status: 200, keys: [first] };
beforeAll(async () => {
  site = createServer((_req, res) => {
    fetched += 1;
    res.writeHead(published.status, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ keys: published.keys.map(({ jwk }) => jwk) }));
  });
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  const client = {
    client_id: 'signing',
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    jwks_uri: `http://localhost:${(site.address() as AddressInfo).port}/jwks`,
  };
  server = await startServer({ clients: [client] });
});
beforeEach(() => {
  server.clock.advance(3600);
  published = { status: 200, keys: [first] };
  fetched = 0;
});
afterAll(async () => {
  await server.close();
  site.closeAllConnections();
  await new Promise((resolve) => site.close(resolve));
});

/** The status that the token endpoint answers to an assertion by this key. */
async function by({ kid, privateKey }: Key): Promise<number> {
  const now = Math.floor(server.clock.now() / 1000);
  const jwt = new SignJWT({ iss: 'signing', sub: 'signing', aud: server.url, jti: crypto.randomUUID() });
  const signed = jwt
    .setProtectedHeader({ alg: 'ES256', kid })
    .setIssuedAt(now)
    .setExpirationTime(now + 60);
  const answer = await request(server.url)
    .post('/token')
    .type('form')
    .send({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await signed.sign(privateKey),
    });
  return answer.status;
}

test('a key that is not known yet is looked for at once; unknown ones are looked for every few seconds, no more', async () => {
  expect(await by(first)).toBe(200);
  server.clock.advance(5);
  published.keys = [first, second];
  expect(await by(second)).toBe(200);
  expect(await by(first)).toBe(200);
  expect(fetched).toBe(2);
  const unknown = await make('unknown');
  server.clock.advance(5);
  expect(new Set(await Promise.all(Array.from({ length: 20 }, () => by(unknown))))).toEqual(new Set([401]));
  expect(fetched).toBe(3);
});

test('an answer that failed is forgotten after seconds, a good one after minutes; a withdrawn key is then refused', async () => {
  published.status = 500;
  expect([await by(first), await by(first)]).toEqual([401, 401]);
  expect(fetched).toBe(1);
  published.status = 200;
  server.clock.advance(5);
  expect([await by(first), await by(first)]).toEqual([200, 200]);
  expect(fetched).toBe(2);

  published.keys = [second];
  server.clock.advance(300);
  expect(await by(first)).toBe(200);
  expect(fetched).toBe(2);
  server.clock.advance(300);
  expect(await by(first)).toBe(401);
  expect(await by(second)).toBe(200);
  expect(fetched).toBe(3);
});
