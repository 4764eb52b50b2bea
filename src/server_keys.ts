/** Which keys the server has, how each kind is made, and what the rooms that use them are handed. */
import { createECDH, createPrivateKey, generateKeyPair, type KeyObject, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { JWK } from 'oidc-provider';
import type { KeyKinds, Keyring } from './keys/keyring.ts';
import { sha256 } from './lib/crypto.ts';
import { generateOpaqueKeys, type OpaqueKeys } from './opaque/opaque.ts';
import { createKeyset, type Keyset } from './tokens/keys.ts';

const tokenKinds = ['step', 'session', 'access', 'refresh', 'public'] as const;
const jwkKinds = ['RS256', 'ES256'] as const;

const generate = promisify(generateKeyPair);
const pkcs8 = (key: KeyObject): Buffer => key.export({ type: 'pkcs8', format: 'der' });

const seedBytes = 32;
const privateKeyBytes = 32;

const secretKind = {
  generate: () => randomBytes(32),
  fits: (bytes: Buffer) => bytes.length === 32,
};

const privateKeyOf = (bytes: Buffer) => createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' });

/** How a key of each kind is made on the first start, and how one is told from something else at every start. */
export const keyKinds: KeyKinds = {
  secret: secretKind,
  ...Object.fromEntries(tokenKinds.map((kind) => [`token ${kind}`, secretKind])),
  'jwk RS256': {
    generate: async () => pkcs8((await generate('rsa', { modulusLength: 2048 })).privateKey),
    fits(bytes) {
      const { asymmetricKeyType, asymmetricKeyDetails } = privateKeyOf(bytes);
      return asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= 2048;
    },
  },
  'jwk ES256': {
    generate: async () => pkcs8((await generate('ec', { namedCurve: 'P-256' })).privateKey),
    fits: (bytes) => privateKeyOf(bytes).asymmetricKeyDetails?.namedCurve === 'prime256v1',
  },
  opaque: {
    async generate() {
      const { seed, privateKey, publicKey } = await generateOpaqueKeys();
      return Buffer.concat([seed, privateKey, publicKey]);
    },
    fits(bytes) {
      const pair = createECDH('prime256v1');
      pair.setPrivateKey(bytes.subarray(seedBytes, seedBytes + privateKeyBytes));
      return bytes.subarray(seedBytes + privateKeyBytes).equals(pair.getPublicKey(null, 'compressed'));
    },
  },
};

/** The keys of every kind of token. Throws where a kind has not exactly one that signs. */
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
      const jwk = privateKeyOf(bytes).export({ format: 'jwk' });
      return { ...jwk, kid: sha256(id).slice(0, 16), use: 'sig', alg } as JWK;
    }),
  );

/** OPAQUE's seed and key pair. */
export function opaqueKeysOf(keyring: Keyring): OpaqueKeys {
  const { bytes } = keyring.signing('opaque');
  return {
    seed: bytes.subarray(0, seedBytes),
    privateKey: bytes.subarray(seedBytes, seedBytes + privateKeyBytes),
    publicKey: bytes.subarray(seedBytes + privateKeyBytes),
  };
}
