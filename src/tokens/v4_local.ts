// v4.local for the `paseto` package, which frames tokens and checks claims but brings no XChaCha20 or
// BLAKE2b: this is the encryption of the PASETO v4 specification, sections 5.3 (Encrypt) and 5.4 (Decrypt),
// on noble's primitives. It knows nothing of kinds, footers or issuers: tokens.ts decides those and is its
// only caller.

import { randomBytes, timingSafeEqual } from 'node:crypto';
import { xchacha20 } from '@noble/ciphers/chacha.js';
import { blake2b } from '@noble/hashes/blake2.js';
import { InvalidTokenError, type Key, LocalDecrypt, LocalEncrypt, LocalProtocol, PAE } from 'paseto';

const HEADER = Buffer.from('v4.local.');
const NONCE_BYTES = 32;
const TAG_BYTES = 32;
const CIPHER_KEY_BYTES = 32;
const CIPHER_NONCE_BYTES = 24;

/** A v4.local key. The bytes stay inside its functions, so that no log or error dump can show them. */
export interface V4LocalKey extends Key {
  /** The XChaCha20 key (32 bytes) and nonce (24 bytes), joined, of the token with this nonce. */
  readonly encryption: (nonce: Uint8Array) => Uint8Array;
  /** The BLAKE2b key (32 bytes) that authenticates the token with this nonce. */
  readonly authentication: (nonce: Uint8Array) => Uint8Array;
  /** A nonce (32 bytes) that is a keyed hash of what will be sealed under it. */
  readonly nonceOf: (sealed: Uint8Array) => Uint8Array;
}

/** The key of these 32 bytes, which are copied. Throws on any other length. */
export function createV4LocalKey(bytes: Uint8Array): V4LocalKey {
  if (bytes.length !== 32) throw new Error('a v4.local key is 32 bytes');
  return {
    algorithm: { name: 'paseto-v4.local' },
    extractable: false,
    type: 'secret',
    encryption: derivation(bytes, 'paseto-encryption-key', CIPHER_KEY_BYTES + CIPHER_NONCE_BYTES),
    authentication: derivation(bytes, 'paseto-auth-key-for-aead', 32),
    nonceOf: derivation(bytes, 'cypher-nonce-of-repeatable', NONCE_BYTES),
  };
}

// The derived keys differ with every nonce, but the block that holds the key and the domain string before the
// nonce do not: BLAKE2b takes them in once and each token goes on from a copy of that state.
function derivation(key: Uint8Array, domain: string, length: number): (nonce: Uint8Array) => Uint8Array {
  const begun = blake2b.create({ key, dkLen: length }).update(Buffer.from(domain));
  return (nonce) => begun.clone().update(nonce).digest();
}

/** Makes the 32-byte nonce of a new token under `key`; `sealed` is all that the token will say (PAE). */
export type NonceMaker = (key: V4LocalKey, sealed: () => Uint8Array) => Uint8Array;

const randomNonce: NonceMaker = () => randomBytes(NONCE_BYTES);

/**
 * For tokens that must be the same text whenever they say the same: a keyed hash of all that is sealed, so that a nonce
 * repeats only with its whole token. PASETO's own v1 and v2 made their nonces in this manner.
 */
export const repeatableNonce: NonceMaker = (key, sealed) => key.nonceOf(sealed());

/**
 * The v4.local protocol: `Encrypt(key, claims, options)` and `Decrypt(key, token, options)` of the `paseto`
 * package. Nonces are random unless said otherwise.
 */
export function createV4Local(nonce: NonceMaker = randomNonce) {
  const encryption = LocalEncrypt({
    version: 4,
    run: async (key: V4LocalKey, message: Uint8Array, footer: Uint8Array, implicit: Uint8Array) =>
      encrypt(
        key,
        nonce(key, () => PAE([HEADER, message, footer, implicit])),
        message,
        footer,
        implicit,
      ),
  });
  const decryption = LocalDecrypt({
    version: 4,
    run: async (key: V4LocalKey, payload: Uint8Array, footer: Uint8Array, implicit: Uint8Array) =>
      decrypt(key, payload, footer, implicit),
  });
  return new LocalProtocol(encryption, decryption);
}

function encrypt(
  key: V4LocalKey,
  nonce: Uint8Array,
  message: Uint8Array,
  footer: Uint8Array,
  implicit: Uint8Array,
): Uint8Array {
  const payload = new Uint8Array(NONCE_BYTES + message.length + TAG_BYTES);
  const ciphertext = payload.subarray(NONCE_BYTES, -TAG_BYTES);
  payload.set(nonce);
  cipher(key, nonce, message, ciphertext);
  payload.set(tagOf(key, nonce, ciphertext, footer, implicit), NONCE_BYTES + message.length);
  return payload;
}

function decrypt(key: V4LocalKey, payload: Uint8Array, footer: Uint8Array, implicit: Uint8Array): Uint8Array {
  if (payload.length <= NONCE_BYTES + TAG_BYTES) throw new InvalidTokenError('truncated v4.local payload');
  const nonce = payload.subarray(0, NONCE_BYTES);
  const ciphertext = payload.subarray(NONCE_BYTES, -TAG_BYTES);
  const tag = tagOf(key, nonce, ciphertext, footer, implicit);
  // A comparison that stopped at the first difference would tell, by its time, how much of a forged tag is
  // right.
  if (!timingSafeEqual(tag, payload.subarray(-TAG_BYTES)))
    throw new InvalidTokenError('v4.local tag does not fit');
  const message = new Uint8Array(ciphertext.length);
  cipher(key, nonce, ciphertext, message);
  return message;
}

function cipher(key: V4LocalKey, nonce: Uint8Array, input: Uint8Array, output: Uint8Array): void {
  const derived = key.encryption(nonce);
  xchacha20(derived.subarray(0, CIPHER_KEY_BYTES), derived.subarray(CIPHER_KEY_BYTES), input, output);
}

function tagOf(
  key: V4LocalKey,
  nonce: Uint8Array,
  ciphertext: Uint8Array,
  footer: Uint8Array,
  implicit: Uint8Array,
) {
  const signed = PAE([HEADER, nonce, ciphertext, footer, implicit]);
  return blake2b(signed, { key: key.authentication(nonce), dkLen: TAG_BYTES });
}
