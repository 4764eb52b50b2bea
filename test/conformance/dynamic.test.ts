/** OpenID's plan for providers at which clients register themselves, for the code flow. */
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createOutgoing } from '../../src/http/outgoing.ts';
import { type Administered, startAdministered } from '../support/cypher.ts';
import { asApp, createPerson, type Person } from '../support/person.ts';
import { jwksOf, makeClientKey, register, registered, signedBy } from './dynamic_party.ts';
import { expectMetadata } from './metadata.ts';
import { ask, assertionOf, checkIdToken, succeed, userinfo, usual } from './party.ts';
import { type Published, startPublished } from './published.ts';

const key = await makeClientKey('a key');
const nextKey = await makeClientKey('the next key');
let server: Administered;
let published: Published;
let ada: Person;
/** What the operator gives to who may register. */
let token: string;
beforeAll(async () => {
  published = await startPublished();
  const settings = {
    REGISTRATION: 'token',
    KEY_PUBLISHED_AHEAD_SECONDS: '60',
  };
  // Strangers' addresses must be public; these are on this machine.
  const outgoing = createOutgoing({ mayReach: () => true });
  server = await startAdministered({ settings, outgoing });
  const made = await server.cypher(['client', 'registration-token', '--no-pkce', '--json']);
  token = JSON.parse(made.stdout).registration_token;
  ada = createPerson(server, 'ada');
  const client = await registering();
  server.clock.advance(-60);
  await ask(server, ada, client);
});
afterAll(async () => {
  await server.close();
  await published.close();
});

/** Registers at the machine's time, which tokens have: one that is older than its client is none, and codes turn our clock on. */
function registering(metadata: object = {}) {
  server.clock.advance((Date.now() - server.clock.now()) / 1000);
  return registered(server, key, { token, metadata });
}
let people = 0;
const somebody = () => createPerson(server, `person-${people++}`);
const refused = ({ status, body }: request.Response) => [status, body.error];

test('oidcc-idtoken-rs256', async () => {
  const client = await registering({ id_token_signed_response_alg: 'RS256' });
  const { tokens } = await succeed(server, ada, client);
  expect(decodeProtectedHeader(tokens.id_token)).toMatchObject({ alg: 'RS256', kid: expect.any(String) });
});

test('oidcc-idtoken-unsigned', async () => {
  const metadata = { redirect_uris: ['https://rp.example/callback'], id_token_signed_response_alg: 'none' };
  expect(refused(await register(server, token, metadata))).toEqual([400, 'invalid_client_metadata']);
});

test('oidcc-userinfo-rs256', async () => {
  const client = await registering({ userinfo_signed_response_alg: 'RS256' });
  const answer = await ask(server, ada, client);
  const { access_token, id_token } = (await redeemed(client, answer.params.code)).body;
  const claims = await checkIdToken(server, client, { access_token, id_token }, { nonce: 'a nonce' });
  const { headers, text } = await userinfo(server, access_token);
  expect(headers['content-type']).toMatch(/^application\/jwt/);
  const keys = createRemoteJWKSet(new URL(`${server.url}/jwks`));
  const checks = { issuer: server.url, audience: client.client_id, algorithms: ['RS256'] };
  const { payload } = await jwtVerify(text, keys, checks);
  expect(payload.sub).toBe(claims.sub);
  expect(payload).not.toHaveProperty('nonce');
});

test('oidcc-ensure-redirect-uri-in-authorization-request', async () => {
  const redirect_uris = ['https://rp.example/callback', 'https://rp.example/another'];
  const client = await registering({ redirect_uris });
  const answer = await ask(server, ada, client, { redirect_uri: undefined });
  expect([answer.by, answer.status]).toEqual(['page', 400]);
});

const withQuery = 'https://rp.example/callback?foo=bar';

test('oidcc-redirect-uri-query-OK', async () => {
  const client = await registering({ redirect_uris: [withQuery] });
  const { answer } = await succeed(server, ada, client);
  expect(answer.params.foo).toBe('bar');
});

test.each([
  ['oidcc-redirect-uri-query-mismatch', withQuery, 'https://rp.example/callback?foo=other'],
  ['oidcc-redirect-uri-query-added', 'https://rp.example/callback', withQuery],
])('%s', async (_name, registeredUri, redirect_uri) => {
  const client = await registering({ redirect_uris: [registeredUri] });
  const answer = await ask(server, ada, client, { redirect_uri });
  expect([answer.by, answer.status]).toEqual(['page', 400]);
});

test('oidcc-redirect-uri-regfrag', async () => {
  const answer = await register(server, token, { redirect_uris: ['https://rp.example/callback#foobar'] });
  expect(answer.status).toBe(400);
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  expect(['invalid_redirect_uri', 'invalid_client_metadata']).toContain(answer.body.error);
});

test('oidcc-discovery-endpoint-verification', async () => {
  const metadata = await expectMetadata(server, server.url);
  expect(metadata).toMatchObject({
    registration_endpoint: `${server.url}/reg`,
    request_uri_parameter_supported: true,
    require_request_uri_registration: true,
    response_types_supported: expect.arrayContaining(['code', 'id_token', 'id_token token']),
    grant_types_supported: expect.arrayContaining(['authorization_code', 'implicit']),
  });
});

test('oidcc-server', async () => {
  const client = await registering();
  expect(client.body).toMatchObject({
    registration_client_uri: expect.stringMatching(server.url),
    registration_access_token: expect.any(String),
    token_endpoint_auth_method: 'private_key_jwt',
    response_types: ['code'],
  });
  await succeed(server, ada, client);
});

test.each([
  ['oidcc-registration-logo-uri', 'logo_uri', 'src'],
  ['oidcc-registration-policy-uri', 'policy_uri', 'href'],
  ['oidcc-registration-tos-uri', 'tos_uri', 'href'],
])('%s', async (_name, member, attribute) => {
  const uri = `https://rp.example/${member}.png`;
  const client = await registering({ [member]: uri, client_uri: 'https://rp.example/' });
  expect(client.body[member]).toBe(uri);
  // It is shown where the person decides about the app: beside its name, after the login.
  const { answer } = await succeed(server, somebody(), client);
  expect(answer.asked).toEqual(['password', 'consent']);
  expect(answer.pages[1]).toContain(`${attribute}="${uri}"`);
});

test('oidcc-registration-jwks-uri', async () => {
  published.pages.set('/jwks', await jwksOf(key));
  await succeed(server, ada, await registering({ jwks_uri: `${published.url}/jwks` }));
});

const sector = (path: string) => ({
  subject_type: 'pairwise',
  sector_identifier_uri: `${published.url}${path}`,
  redirect_uris: ['https://rp.example/callback'],
});

test('oidcc-registration-sector-uri', async () => {
  published.pages.set('/sector', ['https://rp.example/callback', 'https://other.example/callback']);
  const [one, two] = [
    await registering(sector('/sector')),
    await registering({
      ...sector('/sector'),
      redirect_uris: ['https://other.example/callback'],
    }),
  ];
  const { sub } = (await succeed(server, ada, one)).claims;
  expect((await succeed(server, ada, two)).claims.sub).toBe(sub);
  expect((await succeed(server, ada, await registering())).claims.sub).not.toBe(sub);
});

test('oidcc-registration-sector-bad', async () => {
  published.pages.set('/bad_sector', ['https://other.example/callback']);
  const answer = await register(server, token, sector('/bad_sector'));
  expect(refused(answer)).toEqual([400, 'invalid_client_metadata']);
});

test('oidcc-server-rotate-keys', async () => {
  const keysNow = async () => (await request(server.url).get('/jwks')).body.keys.map(kidOf);
  const kidOf = ({ kid }: { kid: string }) => kid;
  const before = await keysNow();
  expect((await server.cypher(['key', 'rotate', 'RS256'])).code).toBe(0);
  await vi.waitFor(async () => expect((await keysNow()).length).toBeGreaterThan(before.length), 8000);
  expect(await keysNow()).toEqual(expect.arrayContaining(before));
});

test('oidcc-refresh-token-rp-key-rotation', async () => {
  published.pages.set('/jwks', await jwksOf(key));
  const client = await registering({
    jwks_uri: `${published.url}/jwks`,
    grant_types: ['authorization_code', 'refresh_token'],
  });
  const offline = { scope: 'openid offline_access', prompt: 'consent' };
  const { refresh_token } = (await succeed(server, ada, client, offline)).tokens;
  published.pages.set('/jwks', await jwksOf(nextKey));
  // By the library's clock, which is the machine's, what it has of the keys is good for a minute.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61_000 });
  try {
    client.key = nextKey;
    const form = { grant_type: 'refresh_token', refresh_token, ...(await assertionOf(client)) };
    const refreshed = await asApp(server, client, form);
    expect([refreshed.status, refreshed.body]).toEqual([200, expect.anything()]);
  } finally {
    vi.useRealTimers();
  }
});

test('oidcc-request-uri-unsigned', async () => {
  // The suite skips the module where `none` is not offered: unsigned, a request says no more than the query.
  const uri = `${published.url}/unsigned`;
  const client = await registering({ request_uris: [uri] });
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  published.pages.set('/unsigned', `${part({ alg: 'none' })}.${part(usual(client))}.`);
  const answer = await ask(server, ada, client, { request_uri: uri });
  expect(answer.params).toMatchObject({ error: 'invalid_request_object' });
});

test('oidcc-request-uri-signed-rs256', async () => {
  const uri = `${published.url}/request#its-hash`;
  const metadata = { request_uris: [uri], request_object_signing_alg: 'RS256' };
  const client = await registering(metadata);
  expect(client.body).toMatchObject(metadata);
  const { client_id: iss } = client;
  const inside = { ...usual(client), state: 'inside', nonce: 'inside', iss, aud: server.url };
  published.pages.set('/request', await signedBy(key, inside));
  const query = { request_uri: uri, redirect_uri: undefined, state: 'inside', nonce: 'inside' };
  await succeed(server, ada, client, query);
  // Signed by another key it is refused; and what is at another address, or no longer there.
  published.pages.set('/request', await signedBy(nextKey, inside));
  const forged = await ask(server, ada, client, { request_uri: uri });
  expect(forged.params.error).toBe('invalid_request_object');
  const elsewhere = await ask(server, ada, client, { request_uri: `${published.url}/gone` });
  expect(elsewhere.params).not.toHaveProperty('code');
  published.pages.delete('/request');
  const gone = await ask(server, ada, client, query);
  expect([gone.by, gone.status]).toEqual(['page', 400]);
});

test('oidcc-ensure-request-object-with-redirect-uri', async () => {
  // With a signed object: the address inside it counts.
  const client = await registering();
  const object = await signedBy(key, { ...usual(client), iss: client.client_id, aud: server.url });
  const query = { request: object, redirect_uri: 'https://rp.example/bad' };
  await succeed(server, ada, client, query);
});

test('oidcc-refresh-token', async () => {
  const grants = { grant_types: ['authorization_code', 'refresh_token'] };
  const [client, other] = [await registering(grants), await registering(grants)];
  const offline = { scope: 'openid offline_access', prompt: 'consent' };
  const { refresh_token } = (await succeed(server, ada, client, offline)).tokens;
  const form = { grant_type: 'refresh_token', refresh_token };
  const foreign = await asApp(server, other, { ...form, ...(await assertionOf(other)) });
  expect(refused(foreign)).toEqual([400, 'invalid_grant']);
  const refreshed = await asApp(server, client, { ...form, ...(await assertionOf(client)) });
  expect(refreshed.status).toBe(200);
  await checkIdToken(server, client, refreshed.body, { nonce: 'a nonce' });
});

test('oidcc-ensure-client-assertion-with-iss-aud-succeeds', async () => {
  const client = await registering();
  client.audience = server.url;
  await succeed(server, ada, client);
});

/** The code grant of a client whose userinfo is no JSON. */
async function redeemed(client: Awaited<ReturnType<typeof registered>>, code = '') {
  const { redirect_uri } = client;
  const form = { grant_type: 'authorization_code', code, redirect_uri, ...(await assertionOf(client)) };
  return asApp(server, client, form);
}
