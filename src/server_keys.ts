/**
 * The kinds of keys of the server: how a key is made, how long it lasts, and in which form other rooms receive it.
 */
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

/** Purposes of keys that are derived from the permanent secret. Server and commands must derive the same keys. */
export const derivedFor = {
  clientSecrets: 'client secrets',
  doctor: 'doctor',
  fileHashes: 'file hashes',
  refreshSuccessors: 'refresh successors',
} as const;

const tokenKinds = ['step', 'session', 'access', 'refresh', 'public'] as const;
/** The algorithms of ID tokens. Each key is for one algorithm (RFC 7517, section 4.4). */
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
 * How a key of each kind is made, and how it is recognized. `secret` and `opaque fake` never rotate. What depends on
 * them cannot be made again: hashes of recovery codes, successors of refresh tokens, answers for unknown names.
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
  // The first keys of these kinds are derived from other keys. An older database has only those, and what was made
  // with them stays valid.
  'opaque fake': { ...opaqueKind, first: (signing) => signing('opaque') },
  cookies: { ...secretKind, first: (signing) => deriveKey(signing('secret'), 'cookies') },
  devices: { ...secretKind, first: (signing) => deriveKey(signing('secret'), 'known devices') },
};

/** A key waits for this time before it signs, so that every instance has read it. */
const instancesAheadMs = 10_000;

/** For each kind that rotates, how long its keys stay in each state. */
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
  // An ID token is also used as a hint at the sign-out, which may come as late as the session lasts.
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
    // Accounts keep their version until the password is changed. So only a command makes a new one.
    opaque: { ...inside(lifeSeconds.signUp), rotateAfterMs: undefined },
  };
}

/** The age in seconds of the signing key of each kind that rotates. */
export const keyAges = (keyring: Pick<Keyring, 'all'>, now: number): Record<string, number> =>
  Object.fromEntries(
    keyring
      .all()
      .filter(({ kind, state }) => state === 'signing' && rotatedTogether.includes(kind))
      .map(({ kind, since }) => [kind, Math.max(0, (now - since) / 1000)]),
  );

/** The keys of every kind of token. Throws if a kind does not have exactly one signing key. */
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

/** The keys of ID tokens as private JWKs. For each algorithm the signing key comes first. */
export const privateJwks = (keyring: Keyring): JWK[] =>
  jwkKinds.flatMap((alg) =>
    keyring.of(`jwk ${alg}`).map(({ id, bytes }) => {
      const jwk = privateKeyOf(bytes).export({ format: 'jwk' });
      return { ...jwk, kid: sha256(id).slice(0, 16), use: 'sig', alg } as JWK;
    }),
  );

export const cookieSignaturesOf = (keyring: Keyring): CookieSignatures =>
  createCookieSignatures(keyring.of('cookies').map(({ bytes }) => bytes));

/** The keys for proofs of known browsers. The first one makes proofs, and all of them verify. */
export const deviceKeysOf = (keyring: Keyring): [Buffer, ...Buffer[]] => [
  keyring.signing('devices').bytes,
  ...keyring
    .of('devices')
    .slice(1)
    .map(({ bytes }) => bytes),
];

/** The versions of OPAQUE's seed and key pair, the newest first. */
export const opaqueVersionsOf = (keyring: Keyring): OpaqueVersion[] =>
  keyring.of('opaque').map(({ id, bytes }) => ({ id, keys: opaqueKeysIn(bytes) }));

/** The keys that answer for unknown names. */
export const fakeOpaqueKeysOf = (keyring: Keyring): OpaqueKeys =>
  opaqueKeysIn(keyring.signing('opaque fake').bytes);

const opaqueKeysIn = (bytes: Buffer): OpaqueKeys => ({
  seed: bytes.subarray(0, seedBytes),
  privateKey: bytes.subarray(seedBytes, seedBytes + privateKeyBytes),
  publicKey: bytes.subarray(seedBytes + privateKeyBytes),
});

/**
 * The kinds that `key rotate` replaces if none is named. `opaque` is left out, because accounts keep their version.
 */
export const rotatedTogether = [
  ...tokenKinds.map((kind) => `token ${kind}`),
  ...jwkKinds.map((alg) => `jwk ${alg}`),
  'cookies',
  'devices',
];
