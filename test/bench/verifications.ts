/** `node test/bench/verifications.ts`: how many requests a core of an API can check offline, with and without DPoP. */
import { createHash, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createVerifier } from '../../src/resource_server/index.ts';
import { AUDIENCE, startIssuer } from '../resource_server/issuer.ts';

const rounds = 5;
const perRound = 4000;
const issuer = await startIssuer(Date.now());
const verifier = createVerifier({ issuer: issuer.url, audience: AUDIENCE, now: issuer.now });
const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
const jwk = await exportJWK(publicKey);
const plain = await issuer.token();
const bound = await issuer.token({ cnf: { jkt: await calculateJwkThumbprint(jwk) } });
const ath = createHash('sha256').update(bound).digest('base64url');

const proof = () =>
  new SignJWT({ jti: randomUUID(), htm: 'GET', htu: AUDIENCE, iat: issuer.now() / 1000, ath })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
    .sign(privateKey);

async function rate(authorization: string, proofs: (string | undefined)[]): Promise<number> {
  const begun = performance.now();
  for (const dpop of proofs) {
    const verdict = await verifier.verify({ method: 'GET', path: '/reports', authorization, dpop }, [
      'reports:read',
    ]);
    if (!verdict.ok) throw new Error(verdict.refusal.code);
  }
  return (proofs.length / (performance.now() - begun)) * 1000;
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]?.toFixed(0);
const found: { bearer: number[]; dpop: number[] } = { bearer: [], dpop: [] };
for (let round = 0; round < rounds; round += 1) {
  const proofs = await Promise.all(Array.from({ length: perRound }, proof));
  found.bearer.push(await rate(`Bearer ${plain}`, new Array(perRound).fill(undefined)));
  found.dpop.push(await rate(`DPoP ${bound}`, proofs));
}
console.log(
  `a second on one core, median of ${rounds}: Bearer ${median(found.bearer)}, DPoP ${median(found.dpop)}`,
);
await issuer.close();
