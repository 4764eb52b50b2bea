/** Tokens bound to a key (RFC 9449): proofs made by `jose`, and every way in which one can be wrong. */
import { createHash, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createVerifier, type Verifier } from '../../src/resource_server/index.ts';
import { AUDIENCE, type Issuer, startIssuer } from './issuer.ts';

const URL_OF_REPORTS = 'https://api.example.com/reports';
type Alg = 'ES256' | 'Ed25519' | 'EdDSA';
interface Holder {
  alg: Alg;
  jwk: JWK;
  jkt: string;
  privateKey: Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];
}
async function createHolder(alg: Alg = 'ES256'): Promise<Holder> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(publicKey);
  return { alg, jwk, jkt: await calculateJwkThumbprint(jwk), privateKey };
}

let issuer: Issuer;
let verifier: Verifier;
let holder: Holder;
let token: string;
beforeEach(async () => {
  issuer = await startIssuer(Date.UTC(2027, 0, 1));
  verifier = createVerifier({ issuer: issuer.url, audience: AUDIENCE, now: issuer.now });
  holder = await createHolder();
  token = await issuer.token({ cnf: { jkt: holder.jkt } });
});
afterEach(() => issuer.close());

const athOf = (text: string) => createHash('sha256').update(text).digest('base64url');
const proof = (by = holder, claims: object = {}, head: object = {}) =>
  new SignJWT({
    jti: randomUUID(),
    htm: 'GET',
    htu: URL_OF_REPORTS,
    iat: issuer.now() / 1000,
    ath: athOf(token),
    ...claims,
  })
    .setProtectedHeader({ alg: by.alg, typ: 'dpop+jwt', jwk: by.jwk, ...head })
    .sign(by.privateKey);

async function verdictOn(
  dpop: string | undefined,
  { path = '/reports?page=2', method = 'GET', scheme = 'DPoP' } = {},
) {
  const verdict = await verifier.verify({ method, path, authorization: `${scheme} ${token}`, dpop });
  return verdict.ok ? 'ok' : verdict.refusal.code;
}

test('a bound token with a fresh proof passes, for every algorithm of the challenge', async () => {
  for (const alg of ['ES256', 'Ed25519', 'EdDSA'] as const) {
    holder = await createHolder(alg);
    token = await issuer.token({ cnf: { jkt: holder.jkt } });
    expect.soft([alg, await verdictOn(await proof())]).toEqual([alg, 'ok']);
  }
});

test('a proof serves once, also when it comes a hundred times at the same time', async () => {
  const once = await proof();
  const verdicts = await Promise.all(Array.from({ length: 100 }, () => verdictOn(once)));
  expect(verdicts.filter((each) => each === 'ok')).toHaveLength(1);
  issuer.advance(69);
  expect(await verdictOn(once)).toBe('proof_replayed');
  issuer.advance(2);
  expect(await verdictOn(once)).toBe('proof_stale');
});

test('a bound token without its proof is refused: as Bearer, bare, or with two proofs', async () => {
  expect(await verdictOn(await proof(), { scheme: 'Bearer' })).toBe('token_bound');
  expect(await verdictOn(undefined)).toBe('proof_missing');
  expect(await verdictOn(`${await proof()}, ${await proof()}`)).toBe('proof_malformed');
  const verdict = await verifier.verify({
    method: 'GET',
    path: '/reports',
    authorization: `Bearer ${token}`,
  });
  expect(verdict).toMatchObject({
    refusal: {
      headers: { 'WWW-Authenticate': expect.stringMatching(/^DPoP .*error="invalid_token".*algs="ES256/) },
    },
  });
});

test('a proof of another request, token or key, too old, too new, or of a wrong form is refused', async () => {
  const other = await createHolder();
  const seconds = issuer.now() / 1000;
  const tampered = (await proof()).replace(/\.[^.]*$/, (signature) =>
    `.${signature.slice(2)}AA`.slice(0, signature.length),
  );
  const secretKey = { ...holder.jwk, d: (await exportJWK(holder.privateKey)).d };
  const cases: [string, string][] = [
    ['proof_foreign', await proof(other)],
    ['proof_forged', await proof({ ...other, jwk: holder.jwk })],
    ['proof_forged', tampered],
    ['proof_foreign', await proof(holder, { htm: 'POST' })],
    ['proof_foreign', await proof(holder, { htm: 'get' })],
    ['proof_foreign', await proof(holder, { htu: 'https://api.example.com/notes' })],
    ['proof_foreign', await proof(holder, { htu: 'http://api.example.com/reports' })],
    ['proof_foreign', await proof(holder, { htu: 'https://api.example.com.evil.example/reports' })],
    ['proof_foreign', await proof(holder, { ath: athOf('another token') })],
    ['proof_foreign', await proof(holder, { ath: undefined })],
    ['proof_stale', await proof(holder, { iat: seconds - 71 })],
    ['proof_stale', await proof(holder, { iat: seconds + 11 })],
    ['proof_malformed', await proof(holder, { iat: undefined })],
    ['proof_malformed', await proof(holder, { jti: undefined })],
    ['proof_malformed', await proof(holder, { jti: 'j'.repeat(300) })],
    ['proof_malformed', await proof(holder, {}, { typ: 'JWT' })],
    ['proof_malformed', await proof(holder, {}, { jwk: secretKey })],
    ['proof_malformed', await proof(holder, {}, { jwk: { kty: 'oct', k: 'AAAA' } })],
    ['proof_malformed', await proof(holder, { filler: 'x'.repeat(5000) })],
    ['proof_malformed', 'a.b.c'],
  ];
  for (const [index, [code, dpop]] of cases.entries())
    expect.soft([index, await verdictOn(dpop)]).toEqual([index, code]);
  const none = `${Buffer.from(JSON.stringify({ alg: 'none', typ: 'dpop+jwt', jwk: holder.jwk })).toString('base64url')}.${(await proof()).split('.')[1]}.AA`;
  expect(await verdictOn(none)).toMatch(/^proof_(malformed|forged)$/);
});

test('the address is compared as RFC 3986 spells it, without the query; the Host header has no say', async () => {
  expect(await verdictOn(await proof(holder, { htu: 'HTTPS://API.example.com:443/reports#top' }))).toBe('ok');
  expect(await verdictOn(await proof(), { path: 'http://evil.example/reports' })).toBe('request_malformed');
  expect(await verdictOn(await proof(), { path: '//evil.example/reports' })).toBe('proof_foreign');
});

test('an unbound token is not taken as DPoP, and not at all where an API requires DPoP', async () => {
  token = await issuer.token();
  expect(await verdictOn(await proof())).toBe('token_unbound');
  expect(await verdictOn(undefined, { scheme: 'Bearer' })).toBe('ok');
  verifier = createVerifier({ issuer: issuer.url, audience: AUDIENCE, now: issuer.now, requireDpop: true });
  expect(await verdictOn(undefined, { scheme: 'Bearer' })).toBe('token_unbound');
});

test('the address is compared as RFC 3986 normalizes it, and one with dot segments, escaped or not, is refused', async () => {
  const at = (path: string) => `https://api.example.com${path}`;
  for (const [htu, path] of [
    ['/r%65ports', '/reports'],
    ['/reports', '/r%65ports'],
    ['/%7eada', '/~ada'],
    ['/a%2fb', '/a%2Fb'],
    ['/%c3%a4', '/%C3%A4'],
  ] as const)
    expect.soft([htu, await verdictOn(await proof(holder, { htu: at(htu) }), { path })]).toEqual([htu, 'ok']);
  const foreign = await proof(holder, { htu: at('/a/b') });
  expect(await verdictOn(foreign, { path: '/a%2Fb' })).toBe('proof_foreign');
  for (const dots of ['..', '.', '%2e%2e', '.%2E', '%2e']) {
    expect
      .soft(await verdictOn(await proof(), { path: `/public/${dots}/../reports` }))
      .toBe('request_malformed');
    expect.soft(await verdictOn(await proof(), { path: `/reports/${dots}` })).toBe('request_malformed');
    const htu = at(`/public/${dots}/${dots === '.' || dots === '%2e' ? '../' : ''}reports`);
    expect.soft([htu, await verdictOn(await proof(holder, { htu }))]).toEqual([htu, 'proof_foreign']);
  }
  expect(await verdictOn(await proof(), { path: '/reports?at=/../x' })).toBe('ok');
});
