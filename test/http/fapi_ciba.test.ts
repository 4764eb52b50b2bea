/** CIBA for clients that are held to FAPI-CIBA, signed requests, and pings that are not taken. */
import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import request from 'supertest';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { openAccount, postForm } from '../support/account_page.ts';
import { asApp, createPerson, type Person } from '../support/person.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { startServer, type TestServer } from '../support/server.ts';

const grant_type = 'urn:openid:params:grant-type:ciba';
const keys = await generateKeyPair('ES256', { extractable: true });
const jwk = await exportJWK(keys.publicKey);
const till = {
  client_id: 'till',
  client_secret: 'a-secret-of-the-till-0123456789abcdef-0123',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: [grant_type, 'refresh_token'],
  backchannel_token_delivery_mode: 'poll',
  jwks: { keys: [{ ...jwk, alg: 'ES256', use: 'sig', kid: 'k' }] },
};
const { client_secret: _, ...keyless } = till;
const bank = {
  ...keyless,
  client_id: 'bank',
  fapi: 'ciba',
  token_endpoint_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: 'ES256',
};
const centre = {
  ...till,
  client_id: 'centre',
  backchannel_token_delivery_mode: 'ping',
  backchannel_client_notification_endpoint: '',
};
let receiver: Receiver;
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  receiver = await startReceiver({ tls: true });
  centre.backchannel_client_notification_endpoint = `${receiver.url}/ping`;
  server = await startServer({ clients: [till, bank, centre], settings: { CIBA: 'on' } });
  ada = createPerson(server, 'ada');
  await openAccount(ada);
});
afterEach(() => receiver.answers({ status: 204 }));
afterAll(async () => {
  await server.close();
  await receiver.close();
});

const seconds = () => Math.floor(Date.now() / 1000);
const sign = (claims: JWTPayload, header: object = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'k', ...header }).sign(keys.privateKey);
const assertion = async (client_id: string, aud = server.url) => ({
  client_assertion: await sign({
    iss: client_id,
    sub: client_id,
    aud,
    jti: randomUUID(),
    exp: seconds() + 60,
  }),
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
});
const proof = () =>
  sign(
    { htm: 'POST', htu: `${server.url}/token`, jti: randomUUID(), iat: seconds() },
    { typ: 'dpop+jwt', jwk, kid: undefined },
  );
/** A signed request; `claims` differ from what is usual. */
const signed = (client_id: string, claims: JWTPayload = {}) =>
  sign({
    iss: client_id,
    aud: server.url,
    jti: randomUUID(),
    ...{ iat: seconds(), nbf: seconds(), exp: seconds() + 300 },
    ...{ scope: 'openid', login_hint: ada.username, binding_message: 'blue' },
    ...claims,
  });
const asBank = async (form: object, path = '/backchannel', aud = server.url) =>
  request(server.url)
    .post(path)
    .set('dpop', await proof())
    .type('form')
    .send({ ...form, ...(await assertion('bank', aud)) });
async function approve(): Promise<void> {
  const page = (await ada.agent.get('/account/requests')).text;
  const id = /name="request" value="([^"]+)"/.exec(page)?.[1] ?? '';
  const done = await postForm(ada, 'requests', { request: id, decision: 'allow', code: ada.code() });
  expect(done.status).toBe(303);
}

test('FAPI-CIBA: a signed request, bound tokens, and a redeemed request is invalid_grant at once; its tokens live', async () => {
  const unsigned = await asBank({ scope: 'openid', login_hint: ada.username });
  expect([unsigned.status, unsigned.body.error]).toEqual([400, 'invalid_request']);
  const asked = await asBank({ request: await signed('bank') }, '/backchannel', `${server.url}/backchannel`);
  expect([asked.status, asked.body]).toEqual([200, expect.objectContaining({ interval: 5 })]);
  await approve();
  const poll = { grant_type, auth_req_id: asked.body.auth_req_id };
  const unproven = await asApp(
    server,
    { client_id: 'bank', redirect_uri: '' },
    { ...poll, ...(await assertion('bank')) },
  );
  expect([unproven.status, unproven.body.error]).toEqual([400, 'invalid_grant']);
  const first = await asBank(poll, '/token');
  expect([first.status, first.body.token_type]).toEqual([200, 'DPoP']);
  const again = await asBank(poll, '/token');
  expect([again.status, again.body.error]).toEqual([400, 'invalid_grant']);
  const refresh = { grant_type: 'refresh_token', refresh_token: first.body.refresh_token };
  expect((await asBank(refresh, '/token')).status).toBe(200);
  // Later it is no repetition of the same hand any more.
  server.clock.advance(31);
  expect((await asBank(poll, '/token')).body.error).toBe('invalid_grant');
  expect((await asBank(refresh, '/token')).body.error).toBe('invalid_grant');
});

test.each([
  ['lives longer than 60 minutes', () => ({ exp: seconds() + 3601 })],
  ['was good since longer ago', () => ({ nbf: seconds() - 3601, exp: seconds() + 10 })],
  ['ends before it begins', () => ({ nbf: seconds() + 5, exp: seconds() + 5 })],
  ['names no nbf', () => ({ nbf: undefined })],
  ['names no exp', () => ({ exp: undefined })],
  ['ends in the year 9999', () => ({ exp: 253_402_300_799 })],
] as const)(
  'CIBA: a signed request that %s is refused, of a FAPI client and of any other',
  async (_why, claims) => {
    const changed = claims() as JWTPayload;
    const ofBank = await asBank({ request: await signed('bank', changed) });
    const ofTill = await asApp(server, till, { request: await signed('till', changed) }, '/backchannel');
    for (const { status, body } of [ofBank, ofTill])
      expect.soft([status, body.error]).toEqual([400, 'invalid_request']);
  },
);

test('CIBA: a signed request may live for 60 minutes', async () => {
  const request_ = await signed('till', { exp: seconds() + 3600 });
  expect((await asApp(server, till, { request: request_ }, '/backchannel')).status).toBe(200);
  await approve();
});

test('CIBA: a ping that is answered by a redirect or a refusal is given up, one that fails is sent again', async () => {
  for (const [status, times] of [
    [301, 1],
    [302, 1],
    [400, 1],
    [401, 1],
    [404, 1],
    [500, 2],
    [503, 2],
  ] as const) {
    receiver.received.length = 0;
    receiver.answers({ status, location: `${receiver.url}/elsewhere` });
    const form = {
      scope: 'openid',
      login_hint: ada.username,
      client_notification_token: 'a-token-0123456789',
    };
    expect((await asApp(server, centre, form, '/backchannel')).status).toBe(200);
    await approve();
    const stateNow = async () => {
      const [last] = await server.database.query<{ state: string }>(
        "select state from deliveries where client_id = 'centre' and attempts > 0 order by id desc limit 1",
      );
      return [status, receiver.received.length, last?.state];
    };
    const state = times === 1 ? 'given_up' : 'waiting';
    await vi.waitFor(async () => expect(await stateNow()).toEqual([status, 1, state]), 10_000);
    receiver.answers({ status: 204 });
    server.clock.advance(11);
    if (times === 2)
      await vi.waitFor(async () => expect(await stateNow()).toEqual([status, 2, 'delivered']), 10_000);
    expect
      .soft([status, receiver.received.map(({ path }) => path)])
      .toEqual([status, Array(times).fill('/ping')]);
  }
});

test('CIBA: discovery claims no user codes, for nobody checks them', async () => {
  for (const name of ['openid-configuration', 'oauth-authorization-server']) {
    const { body } = await request(server.url).get(`/.well-known/${name}`);
    expect(body.backchannel_authentication_endpoint).toBe(`${server.url}/backchannel`);
    expect(body.backchannel_user_code_parameter_supported).toBe(false);
  }
});

test.each([
  [
    { token_endpoint_auth_method: 'client_secret_basic', client_secret: 'a secret' },
    /token_endpoint_auth_method/,
  ],
  [
    {
      grant_types: ['authorization_code'],
      redirect_uris: ['https://bank.example/'],
      response_types: ['code'],
    },
    /grant type of CIBA/,
  ],
  [
    { backchannel_authentication_request_signing_alg: 'RS256' },
    /backchannel_authentication_request_signing_alg/,
  ],
])('FAPI-CIBA: a registration that falls short does not start: %j', async (change, why) => {
  const clients = [{ ...bank, ...change }];
  await expect(startServer({ clients, settings: { CIBA: 'on' } })).rejects.toThrow(why);
});
