/** Which keys the server has, how each kind is made, and what the rooms that use them are handed. */
import { createPrivateKey, generateKeyPair, type KeyObject, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { JWK } from 'oidc-provider';
import type { Generators, Keyring } from './keys/keyring.ts';
import { sha256 } from './lib/crypto.ts';
import { generateOpaqueKeys, type OpaqueKeys } from './opaque/opaque.ts';
import { createKeyset, type Keyset } from './tokens/keys.ts';

const tokenKinds = ['step', 'session', 'access', 'refresh', 'public'] as const;
const jwkKinds = ['RS256', 'ES256'] as const;

const generate = promisify(generateKeyPair);
const pkcs8 = (key: KeyObject): Buffer => key.export({ type: 'pkcs8', format: 'der' });

const random = () => randomBytes(32);

/** How each kind is made on the first start. */
export const keyGenerators: Generators = {
  secret: random,
  ...Object.fromEntries(tokenKinds.map((kind) => [`token ${kind}`, random])),
  'jwk RS256': async () => pkcs8((await generate('rsa', { modulusLength: 2048 })).privateKey),
  'jwk ES256': async () => pkcs8((await generate('ec', { namedCurve: 'P-256' })).privateKey),
  opaque: async () => {
    const { seed, privateKey, publicKey } = await generateOpaqueKeys();
    return Buffer.concat([seed, privateKey, publicKey]);
  },
};

/** The keys of every kind of token. Throws where one is missing or of the wrong length: the server does not start. */
export const tokenKeysetOf = (keyring: Keyring): Keyset =>
  createKeyset(
    tokenKinds.flatMap((kind) =>
      keyring.of(`token ${kind}`).map(({ bytes, state }) => ({ kind, bytes, state })),
    ),
  );

/** The ID-token keys as private JWKs, the signing one of each algorithm first. */
export const privateJwks = (keyring: Keyring): JWK[] =>
  jwkKinds.flatMap((alg) =>
    keyring.of(`jwk ${alg}`).map(({ id, bytes }) => {
      const jwk = createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' });
      return { ...jwk, kid: sha256(id).slice(0, 16), use: 'sig', alg } as JWK;
    }),
  );

const seedBytes = 32;
const privateKeyBytes = 32;

/** OPAQUE's seed and key pair. */
export function opaqueKeysOf(keyring: Keyring): OpaqueKeys {
  const { bytes } = keyring.signing('opaque');
  return {
    seed: bytes.subarray(0, seedBytes),
    privateKey: bytes.subarray(seedBytes, seedBytes + privateKeyBytes),
    publicKey: bytes.subarray(seedBytes + privateKeyBytes),
  };
}
