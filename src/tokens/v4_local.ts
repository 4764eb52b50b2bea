/**
 * v4.local: the encryption of the PASETO v4 specification, sections 5.3 (Encrypt) and 5.4 (Decrypt), and the text around it.
 * It knows nothing of kinds, claims or issuers.
 *
 * It is used instead of the `paseto` package for speed. To seal or open an access token takes 12 µs here and 70 to 100 µs there,
 * of about 150 µs for an introspection: the package copies and checks more, and waits for promises. `test/unit/v4_local.test.ts`
 * opens each other's tokens. To delete it, give the package's LocalEncrypt and LocalDecrypt the ciphers, as
 * `test/unit/v4_local_oracle.ts` does.
 */

import { randomBytes, timingSafeEqual } from 'node:crypto';
import { xchacha20 } from '@noble/ciphers/chacha.js';
import { blake2b } from './blake2b.ts';

const HEADER = 'v4.local.';
const NONCE_BYTES = 32;
const TAG_BYTES = 32;
const CIPHER_KEY_BYTES = 32;
const CIPHER_NONCE_BYTES = 24;
const ENCRYPTION = Buffer.from('paseto-encryption-key');
const AUTHENTICATION = Buffer.from('paseto-auth-key-for-aead');
const REPEATABLE = Buffer.from('cypher-nonce-of-repeatable');

/** A v4.local key. The bytes stay inside its functions, so that no log or error dump can show them. */
export interface V4LocalKey {
  /** The XChaCha20 key (32 bytes) and nonce (24 bytes), joined, of the token with this nonce. */
  readonly encryption: (nonce: Uint8Array) => Uint8Array;
  /** The BLAKE2b key (32 bytes) that authenticates the token with this nonce. */
  readonly authentication: (nonce: Uint8Array) => Uint8Array;
  /** A nonce (32 bytes) that is a keyed hash of what will be sealed under it. */
  readonly nonceOf: (...sealed: Uint8Array[]) => Uint8Array;
}

/** The key of these 32 bytes, which are copied. Throws on any other length. */
export function createV4LocalKey(bytes: Uint8Array): V4LocalKey {
  if (bytes.length !== 32) throw new Error('a v4.local key is 32 bytes');
  const key = new Uint8Array(bytes);
  return {
    encryption: (nonce) => blake2b(key, CIPHER_KEY_BYTES + CIPHER_NONCE_BYTES, ENCRYPTION, nonce),
    authentication: (nonce) => blake2b(key, 32, AUTHENTICATION, nonce),
    nonceOf: (...sealed) => blake2b(key, NONCE_BYTES, REPEATABLE, ...sealed),
  };
}

/** Makes the 32-byte nonce of a new token. */
export type NonceMaker = () => Uint8Array;

const randomNonce: NonceMaker = () => randomBytes(NONCE_BYTES);

/** Tokens under one key, with one footer and one implicit assertion: what they have in common is made once. */
export interface V4Local {
  seal(message: Uint8Array): string;
  /**
   * For tokens that must be the same text whenever they say the same: their nonce is a keyed hash of all that is sealed,
   * so that a nonce repeats only with its whole token. PASETO's own v1 and v2 made their nonces in this manner.
   */
  sealRepeatable(message: Uint8Array): string;
  /** What was sealed, or undefined where the text is not exactly what `seal` makes under this key, footer and assertion. */
  open(token: string): Buffer | undefined;
}

/** Nonces are random unless said otherwise. */
export function createV4Local(
  key: V4LocalKey,
  footer: Uint8Array,
  implicit: Uint8Array,
  nonce: NonceMaker = randomNonce,
): V4Local {
  // Pre-authentication encoding (PASETO, Common): the number of pieces, then each piece after its length.
  const header = Buffer.from(HEADER);
  const beforeMessage = Buffer.concat([le64(4), le64(header.length), header]);
  const beforeNonce = Buffer.concat([le64(5), le64(header.length), header, le64(NONCE_BYTES)]);
  const behind = Buffer.concat([le64(footer.length), footer, le64(implicit.length), implicit]);
  const ending = footer.length > 0 ? `.${Buffer.from(footer).toString('base64url')}` : '';

  function tagOf(nonce: Uint8Array, ciphertext: Uint8Array): Uint8Array {
    const lengthOf = le64(ciphertext.length);
    return blake2b(key.authentication(nonce), TAG_BYTES, beforeNonce, nonce, lengthOf, ciphertext, behind);
  }

  function sealUnder(nonce: Uint8Array, message: Uint8Array): string {
    const payload = Buffer.allocUnsafe(NONCE_BYTES + message.length + TAG_BYTES);
    const ciphertext = payload.subarray(NONCE_BYTES, -TAG_BYTES);
    payload.set(nonce);
    cipher(key, nonce, message, ciphertext);
    payload.set(tagOf(nonce, ciphertext), NONCE_BYTES + message.length);
    return HEADER + payload.toString('base64url') + ending;
  }

  return {
    seal: (message) => sealUnder(nonce(), message),
    sealRepeatable: (message) =>
      sealUnder(key.nonceOf(beforeMessage, le64(message.length), message, behind), message),
    open(token) {
      if (!token.startsWith(HEADER) || !token.endsWith(ending)) return undefined;
      const text = token.slice(HEADER.length, token.length - ending.length);
      const payload = Buffer.from(text, 'base64url');
      // Buffer's decoder overlooks padding, foreign characters and spare bits. Only the text that we would write passes.
      if (payload.toString('base64url') !== text || payload.length <= NONCE_BYTES + TAG_BYTES)
        return undefined;
      const nonce = payload.subarray(0, NONCE_BYTES);
      const ciphertext = payload.subarray(NONCE_BYTES, -TAG_BYTES);
      // A comparison that stopped at the first difference would tell, by its time, how much of a forged tag is right.
      if (!timingSafeEqual(tagOf(nonce, ciphertext), payload.subarray(-TAG_BYTES))) return undefined;
      const message = Buffer.allocUnsafe(ciphertext.length);
      cipher(key, nonce, ciphertext, message);
      return message;
    },
  };
}

function cipher(key: V4LocalKey, nonce: Uint8Array, input: Uint8Array, output: Uint8Array): void {
  const derived = key.encryption(nonce);
  xchacha20(derived.subarray(0, CIPHER_KEY_BYTES), derived.subarray(CIPHER_KEY_BYTES), input, output);
}

/** A length as PASETO writes it. */
function le64(length: number): Uint8Array {
  const bytes = new Uint8Array(8);
  for (let rest = length, at = 0; rest > 0; rest = Math.floor(rest / 256), at += 1) bytes[at] = rest & 255;
  return bytes;
}
