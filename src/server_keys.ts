/** Which keys the server has, how each kind is made and how long it lasts, and what the rooms that use them are handed. */
import { createECDH, createPrivateKey, generateKeyPair, type KeyObject, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { JWK } from 'oidc-provider';
import type { Config } from './config/load.ts';
import type { KeyKinds, Keyring } from './keys/keyring.ts';
import type { KeyPolicy } from './keys/states.ts';
import { type CookieSignatures, createCookieSignatures } from './lib/cookie_signatures.ts';
import { deriveKey, sha256 } from './lib/crypto.ts';
import { keyMarginMs, lifeSeconds } from './lifetimes.ts';
import { generateOpaqueKeys, type OpaqueKeys, type OpaqueVersion } from './opaque/opaque.ts';
import { createKeyset, type Keyset } from './tokens/keys.ts';

/** What else is derived from the one secret that stays. The commands derive some of it too, and must derive the same. */
export const derivedFor = {
  clientSecrets: 'client secrets',
  doctor: 'doctor',
  refreshSuccessors: 'refresh successors',
} as const;

const tokenKinds = ['step', 'session', 'access', 'refresh', 'public'] as const;
/** OpenID Connect: of one key, one algorithm (RFC 7517, section 4.4). */
const jwkKinds = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;

const generate = promisify(generateKeyPair);
const pkcs8 = (key: KeyObject): Buffer => key.export({ type: 'pkcs8', format: 'der' });

const seedBytes = 32;
const privateKeyBytes = 32;

const secretKind = {
  generate: () => randomBytes(32),
  fits: (bytes: Buffer) => bytes.length === 32,
};

const privateKeyOf = (bytes: Buffer) => createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' });

const rsaKind = {
  generate: async () => pkcs8((await generate('rsa', { modulusLength: 2048 })).privateKey),
  fits(bytes: Buffer) {
    const { asymmetricKeyType, asymmetricKeyDetails } = privateKeyOf(bytes);
    return asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= 2048;
  },
};

const opaqueKind = {
  async generate() {
    const { seed, privateKey, publicKey } = await generateOpaqueKeys();
    return Buffer.concat([seed, privateKey, publicKey]);
  },
  fits(bytes: Buffer) {
    const pair = createECDH('prime256v1');
    pair.setPrivateKey(bytes.subarray(seedBytes, seedBytes + privateKeyBytes));
    return bytes.subarray(seedBytes + privateKeyBytes).equals(pair.getPublicKey(null, 'compressed'));
  },
};

/**
 * How a key of each kind is made, and how one is told from something else. `secret` and `opaque fake` stay as they are:
 * what they were used for (recovery codes' hashes, refresh tokens' successors, unknown names) cannot be made anew.
 */
export const keyKinds: KeyKinds = {
  secret: secretKind,
  ...Object.fromEntries(tokenKinds.map((kind) => [`token ${kind}`, secretKind])),
  'jwk RS256': rsaKind,
  'jwk PS256': rsaKind,
  'jwk ES256': {
    generate: async () => pkcs8((await generate('ec', { namedCurve: 'P-256' })).privateKey),
    fits: (bytes) => privateKeyOf(bytes).asymmetricKeyDetails?.namedCurve === 'prime256v1',
  },
  'jwk EdDSA': {
    generate: async () => pkcs8((await generate('ed25519')).privateKey),
    fits: (bytes) => privateKeyOf(bytes).asymmetricKeyType === 'ed25519',
  },
  opaque: opaqueKind,
  // Before they were keys of their own, these were what the first ones follow from: nobody notices the change.
  'opaque fake': { ...opaqueKind, first: (signing) => signing('opaque') },
  cookies: { ...secretKind, first: (signing) => deriveKey(signing('secret'), 'cookies') },
  devices: { ...secretKind, first: (signing) => deriveKey(signing('secret'), 'known devices') },
};

/** So that every instance has read a key before one of them signs with it. */
const instancesAheadMs = 10_000;

/** How long keys of each kind that rotates stay in each state. */
export function keyPolicies(
  config: Pick<Config, 'KEY_ROTATION_DAYS' | 'KEY_PUBLISHED_AHEAD_SECONDS' | 'SESSION_LIFETIME_SECONDS'>,
): Record<string, KeyPolicy> {
  const rotateAfterMs = config.KEY_ROTATION_DAYS * 86_400_000 || undefined;
  const inside = (seconds: number): KeyPolicy => ({
    rotateAfterMs,
    publishAheadMs: instancesAheadMs,
    lifeMs: seconds * 1000 + keyMarginMs,
  });
  const published = (seconds: number): KeyPolicy => ({
    ...inside(seconds),
    publishAheadMs: config.KEY_PUBLISHED_AHEAD_SECONDS * 1000,
  });
  // An ID token is also the hint of a sign-out, as long as its session lasts.
  const jwk = published(Math.max(lifeSeconds.idToken, config.SESSION_LIFETIME_SECONDS));
  return {
    'token step': inside(lifeSeconds.setUpToken),
    'token session': inside(config.SESSION_LIFETIME_SECONDS),
    'token access': inside(lifeSeconds.accessToken),
    'token refresh': inside(lifeSeconds.refreshIdle),
    'token public': published(lifeSeconds.accessToken),
    ...Object.fromEntries(jwkKinds.map((alg) => [`jwk ${alg}`, jwk])),
    cookies: inside(lifeSeconds.interaction),
    devices: inside(lifeSeconds.knownDevice),
    // Accounts stay with the version that they have until their password is changed: a new one only by command.
    opaque: { ...inside(lifeSeconds.signUp), rotateAfterMs: undefined },
  };
}

/** The keys of every kind of token. Throws where a kind has not exactly one that signs. */
export const tokenKeysetOf = (keyring: Keyring, policies: Record<string, KeyPolicy> = {}): Keyset =>
  createKeyset(
    tokenKinds.flatMap((kind) =>
      keyring.of(`token ${kind}`).map(({ bytes, state, since, until, createdAt }) => {
        const ahead = policies[`token ${kind}`]?.publishAheadMs ?? 0;
        const notBefore = state === 'next' ? since + ahead : createdAt;
        return { kind, bytes, state, notBefore, notAfter: until };
      }),
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

export const cookieSignaturesOf = (keyring: Keyring): CookieSignatures =>
  createCookieSignatures(keyring.of('cookies').map(({ bytes }) => bytes));

/** What proofs of known devices are made with, by the first, and checked with, by any. */
export const deviceKeysOf = (keyring: Keyring): [Buffer, ...Buffer[]] => [
  keyring.signing('devices').bytes,
  ...keyring
    .of('devices')
    .slice(1)
    .map(({ bytes }) => bytes),
];

/** OPAQUE's seeds and key pairs, the newest first. */
export const opaqueVersionsOf = (keyring: Keyring): OpaqueVersion[] =>
  keyring.of('opaque').map(({ id, bytes }) => ({ id, keys: opaqueKeysIn(bytes) }));

/** What unknown names are answered with. */
export const fakeOpaqueKeysOf = (keyring: Keyring): OpaqueKeys =>
  opaqueKeysIn(keyring.signing('opaque fake').bytes);

const opaqueKeysIn = (bytes: Buffer): OpaqueKeys => ({
  seed: bytes.subarray(0, seedBytes),
  privateKey: bytes.subarray(seedBytes, seedBytes + privateKeyBytes),
  publicKey: bytes.subarray(seedBytes + privateKeyBytes),
});

/** The kinds that `key rotate` means where none is named: all that have nobody stay with an old one. */
export const rotatedTogether = [
  ...tokenKinds.map((kind) => `token ${kind}`),
  ...jwkKinds.map((alg) => `jwk ${alg}`),
  'cookies',
  'devices',
];
