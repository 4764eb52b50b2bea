/** OpenID's plan for FAPI 2.0 message signing: the modules that only it has, of signed requests. */
import { type JWTPayload, UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { createFapiParty, type FapiParty, fapiApp, makeKeys, type Pushed } from './fapi_party.ts';

const [keys, keys2, rsa, dpop] = await Promise.all(
  ['ES256', 'ES256', 'PS256', 'ES256'].map((alg) => makeKeys(alg)),
);
if (!keys || !keys2 || !rsa || !dpop) throw new Error('no keys');
const [first, third] = [
  await fapiApp('bank', 'message_signing', keys),
  await fapiApp('rsa', 'message_signing', rsa),
];
let server: TestServer;
let ada: Person;
let bank: FapiParty;
let strong: FapiParty;
beforeAll(async () => {
  server = await startServer({ clients: [first, third] });
  ada = createPerson(server, 'ada');
  bank = createFapiParty(server, first, keys, dpop);
  strong = createFapiParty(server, third, rsa, dpop);
  await bank.succeed(ada);
});
afterAll(() => server.close());

const seconds = () => Math.floor(Date.now() / 1000);

async function expectRefusal(pushed: Pushed, by = bank): Promise<void> {
  const { status, body } = await by.push(pushed);
  expect([status, body.error]).toEqual([400, expect.stringMatching(/^invalid_request(_object)?$/)]);
}
const refusing = (object: JWTPayload) => expectRefusal({ object });

test('fapi2-security-profile-final-ensure-request-object-with-multiple-aud-succeeds', async () => {
  await bank.succeed(ada, { object: { aud: ['https://other.example', server.url] } });
});

test('fapi2-security-profile-final-ensure-request-object-with-nbf-8-seconds-in-the-future-is-accepted', async () => {
  const nbf = seconds() + 8;
  expect((await bank.push({ object: { iat: nbf, nbf, exp: nbf + 60 } })).status).toBe(201);
});

test('fapi2-security-profile-final-ensure-request-object-without-exp-fails', async () => {
  await refusing({ exp: undefined } as never);
});

test('fapi2-security-profile-final-ensure-request-object-without-nbf-fails', async () => {
  await refusing({ nbf: undefined } as never);
});

test('fapi2-security-profile-final-ensure-expired-request-object-fails', async () => {
  const past = seconds() - 300;
  await refusing({ iat: past - 60, nbf: past - 60, exp: past });
});

test('fapi2-security-profile-final-ensure-request-object-with-bad-aud-fails', async () => {
  await refusing({ aud: 'https://other.example' });
});

test('fapi2-security-profile-final-ensure-request-object-with-exp-over-60-fails', async () => {
  await refusing({ exp: seconds() + 70 * 60 });
});

test('fapi2-security-profile-final-ensure-request-object-with-nbf-over-60-fails', async () => {
  await refusing({ nbf: seconds() - 70 * 60 });
});

test('fapi2-security-profile-final-ensure-signed-request-object-with-RS256-fails', async () => {
  expect((await strong.push()).status).toBe(201);
  await expectRefusal({ signing: { keys: await strong.asRs256(), alg: 'RS256' } }, strong);
});

test('fapi2-security-profile-final-ensure-request-object-signature-algorithm-is-not-none', async () => {
  const now = seconds();
  const claims = { ...bank.request(), iss: 'bank', aud: server.url, nbf: now, exp: now + 60 };
  const { status, body } = await bank.post('/request', { request: new UnsecuredJWT(claims).encode() });
  expect([status, body.error]).toEqual([400, 'invalid_request_object']);
});

test('fapi2-security-profile-final-ensure-request-object-with-invalid-signature-fails', async () => {
  await expectRefusal({ signing: { keys: await makeKeys() } });
});

test('fapi2-security-profile-final-ensure-matching-key-in-authorization-request', async () => {
  await expectRefusal({ signing: { keys: keys2 } });
});

test('fapi2-security-profile-final-ensure-unsigned-request-at-par-endpoint-fails', async () => {
  await expectRefusal({ object: 'plain' });
});

test('fapi2-security-profile-final-par-authorization-request-containing-request_uri', async () => {
  await refusing({ request_uri: 'urn:ietf:params:oauth:request_uri:something' });
});
