/** FAPI 2.0, per client: the security profile and message signing, by openid-client and against requests that fall short. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import * as client from 'openid-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { asApp, challengeOf, createPerson, type Person, verifier } from '../support/person.ts';
import { relyingParty, signInAt } from '../support/relying_party.ts';
import { startServer, type TestServer } from '../support/server.ts';

const keys = await generateKeyPair('ES256', { extractable: true });
const jwks = { keys: [{ ...(await exportJWK(keys.publicKey)), alg: 'ES256', use: 'sig', kid: 'k' }] };
const { client_secret: _, ...keyless } = apps.web;
const bank = {
  ...keyless,
  client_id: 'bank',
  fapi: 'security',
  token_endpoint_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: 'ES256',
  jwks,
};
const signer = { ...bank, client_id: 'signer', fapi: 'message_signing' };
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), bank, signer] });
  ada = createPerson(server, 'ada');
  await ada.codeFor(apps.intranet);
});
afterAll(() => server.close());

const party = (app: typeof bank, metadata: object = {}) =>
  relyingParty(server, app, client.PrivateKeyJwt({ key: keys.privateKey, kid: 'k' }), metadata);
const es256 = { id_token_signed_response_alg: 'ES256' };
const assertion = (aud: string, alg = 'ES256') =>
  new SignJWT({ iss: 'bank', sub: 'bank', aud, jti: crypto.randomUUID() })
    .setProtectedHeader({ alg, kid: 'k' })
    .setExpirationTime('1m')
    .sign(keys.privateKey);
const asBank = async (path: string, form: object, aud = server.url) =>
  asApp(
    server,
    { client_id: 'bank', redirect_uri: '' },
    {
      ...form,
      client_assertion: await assertion(aud),
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    },
    path,
  );

test('security profile: openid-client with PAR, private_key_jwt, PKCE and DPoP gets bound tokens and an ES256 ID token', async () => {
  const config = await party(bank, es256);
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
  const tokens = await signInAt(config, bank, ada, { push: true, DPoP });
  expect(tokens.token_type).toBe('dpop');
  const fresh = await client.refreshTokenGrant(config, String(tokens.refresh_token), undefined, { DPoP });
  expect(fresh.token_type).toBe('dpop');
});

test('security profile: no PAR, no PKCE, no sender constraint, another audience of the assertion → refused', async () => {
  const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
  const bare = await ada.authorize(bank, pkce);
  expect(bare.searchParams.get('error')).toBe('invalid_request');
  const form = { response_type: 'code', redirect_uri: bank.redirect_uri, scope: 'openid' };
  const unproven = await asBank('/request', form);
  expect([unproven.status, unproven.body.error]).toEqual([400, 'invalid_request']);
  const endpoint = await asBank('/request', { ...form, ...pkce }, `${server.url}/request`);
  expect([endpoint.status, endpoint.body.error]).toEqual([401, 'invalid_client']);
  expect((await asBank('/request', { ...form, ...pkce })).status).toBe(201);
  const homeless = await asBank('/request', { response_type: 'code', scope: 'openid', ...pkce });
  expect(homeless.status).toBe(400);
  const config = await party(bank, es256);
  await expect(signInAt(config, bank, ada, { push: true })).rejects.toMatchObject({ error: 'invalid_grant' });
});

test('message signing: signed request in, signed answer and signed introspection out', async () => {
  const config = await party(signer, { ...es256, authorization_signed_response_alg: 'ES256' });
  client.useJwtResponseMode(config);
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
  const parameters = { response_mode: 'jwt' };
  const tokens = await signInAt(config, signer, ada, {
    signedBy: keys.privateKey,
    push: true,
    DPoP,
    parameters,
  });
  expect(tokens.token_type).toBe('dpop');
  await expect(signInAt(config, signer, ada, { push: true, DPoP, parameters })).rejects.toThrow();
  const plain = await party(signer, es256);
  const unsigned = signInAt(plain, signer, ada, { signedBy: keys.privateKey, push: true, DPoP });
  await expect(unsigned).rejects.toThrow();
});

test.each([
  [
    { token_endpoint_auth_method: 'client_secret_basic', client_secret: 'a secret' },
    /token_endpoint_auth_method/,
  ],
  [{ token_endpoint_auth_method: 'none' }, /token_endpoint_auth_method/],
  [{ token_endpoint_auth_signing_alg: 'RS256' }, /token_endpoint_auth_signing_alg/],
  [{ token_endpoint_auth_signing_alg: undefined }, /token_endpoint_auth_signing_alg/],
  [{ response_types: ['code id_token'], grant_types: ['authorization_code', 'implicit'] }, /response_types/],
])('a registration that falls short does not start: %j', async (change, why) => {
  await expect(startServer({ clients: [{ ...bank, ...change }] })).rejects.toThrow(why);
});

test('a FAPI client that lost an answer may repeat its refresh long after, until the successor is in use', async () => {
  const config = await party(bank, es256);
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
  const { refresh_token: first = '' } = await signInAt(config, bank, ada, { push: true, DPoP });
  const refresh = async (token: string) =>
    (await client.refreshTokenGrant(config, token, undefined, { DPoP })).refresh_token ?? '';
  const second = await refresh(first);
  expect(second).not.toBe(first);
  server.clock.advance(3600);
  expect(await refresh(first)).toBe(second);
  const third = await refresh(second);
  await expect(refresh(first)).rejects.toMatchObject({ error: 'invalid_grant' });
  await expect(refresh(third)).rejects.toMatchObject({ error: 'invalid_grant' });
});
