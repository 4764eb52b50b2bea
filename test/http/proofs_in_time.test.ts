/**
 * What apps sign is good for a short time, and remembered for at least as long: client assertions, DPoP proofs, and both of
 * FAPI clients, whose clocks may be ahead by a minute.
 */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import request from 'supertest';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { createLog } from '../../src/lib/log.ts';
import { lifeSeconds } from '../../src/lifetimes.ts';
import { createSweeper } from '../../src/storage/sweeper.ts';
import { apps } from '../support/apps.ts';
import { startServer, type TestServer } from '../support/server.ts';

const keys = await generateKeyPair('ES256', { extractable: true });
const jwk = await exportJWK(keys.publicKey);
const { client_secret: _, ...keyless } = apps.machine;
const signed = {
  ...keyless,
  client_id: 'signed',
  token_endpoint_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: 'ES256',
  jwks: { keys: [{ ...jwk, alg: 'ES256', use: 'sig' }] },
};
const bank = { ...signed, client_id: 'bank', fapi: 'security' };
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), signed, bank] });
});
afterEach(() => vi.useRealTimers());
afterAll(() => server.close());

const seconds = () => Math.floor(Date.now() / 1000);
const assertion = (client: string, claims: object) =>
  new SignJWT({ iss: client, sub: client, aud: server.url, jti: crypto.randomUUID(), ...claims })
    .setProtectedHeader({ alg: 'ES256' })
    .sign(keys.privateKey);
const proof = (claims: object = {}) =>
  new SignJWT({
    htm: 'POST',
    htu: `${server.url}/token`,
    jti: crypto.randomUUID(),
    iat: seconds(),
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
    .sign(keys.privateKey);
/** Asks for a token of the client's own. */
async function ask(client: string, claims: object, dpop?: string): Promise<unknown[]> {
  const post = request(server.url).post('/token').type('form');
  if (dpop) post.set('dpop', dpop);
  const { status, body } = await post.send({
    grant_type: 'client_credentials',
    client_assertion: await assertion(client, claims),
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  });
  return [status, body.error];
}
const taken = [200, undefined];
const refused = [401, 'invalid_client'];
const inAMinute = () => ({ exp: seconds() + 60 });

test('Proofs in time: a client assertion that expires in more than a few minutes is refused, however far ahead', async () => {
  for (const ahead of [10, 60, lifeSeconds.clientAssertion - 5])
    expect.soft([ahead, ...(await ask('signed', { exp: seconds() + ahead }))]).toEqual([ahead, ...taken]);
  for (const exp of [seconds() + 601, seconds() + 86_400, 253_402_300_799, 1e14, 1e300, -1, '60', null, {}])
    expect.soft([exp, ...(await ask('signed', { exp }))]).toEqual([exp, ...refused]);
});

test('Proofs in time: a DPoP proof is remembered for as long as it is accepted, made ahead of us too', async () => {
  // As the library has it: five minutes before and after.
  const ahead = await proof({ iat: seconds() + 295 });
  expect(await ask('signed', inAMinute(), ahead)).toEqual(taken);
  const [spent] = await server.database.query<{ seconds: number }>(
    'select max(extract(epoch from expires_at))::int as seconds from spent',
  );
  expect(spent?.seconds).toBeGreaterThan(seconds() + 595 + lifeSeconds.clockMargin);
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 590_000 });
  await createSweeper(server.database, createLog('silent'), server.clock.now).sweep();
  expect(await ask('signed', inAMinute(), ahead)).toEqual([400, 'invalid_grant']);
});

test('Proofs in time: an assertion or proof of a FAPI client that is made more than a minute ahead is refused', async () => {
  const dpop = () => proof();
  expect(await ask('bank', { ...inAMinute(), iat: seconds() + 8, nbf: seconds() + 8 }, await dpop())).toEqual(
    taken,
  );
  for (const claim of ['iat', 'nbf']) {
    const late = { ...inAMinute(), exp: seconds() + 200, [claim]: seconds() + 70 };
    expect.soft([claim, ...(await ask('bank', late, await dpop()))]).toEqual([claim, ...refused]);
  }
  expect(await ask('bank', inAMinute(), await proof({ iat: seconds() + 8 }))).toEqual(taken);
  const madeAhead = await proof({ iat: seconds() + 70 });
  expect(await ask('bank', inAMinute(), madeAhead)).toEqual([400, 'invalid_dpop_proof']);
  expect(await ask('signed', inAMinute(), madeAhead)).toEqual(taken);
});

test('Proofs in time: rubbish in place of a proof is refused beside a good assertion', async () => {
  for (const rubbish of ['x', 'a.b.c', `a.${Buffer.from('null').toString('base64url')}.c`])
    expect.soft(await ask('signed', inAMinute(), rubbish)).toEqual([400, 'invalid_dpop_proof']);
});
