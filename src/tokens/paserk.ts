/**
 * PASERK for version 4: the text of a key (k4.local, k4.public, k4.secret) and its id (k4.lid, k4.pid, k4.sid). An id
 * is a hash of the whole key, so it may be readable in a token's footer.
 */

import { timingSafeEqual } from 'node:crypto';
import { blake2b } from './blake2b.ts';
import { createV4KeyPair } from './v4_public.ts';

/**
 * `local`: a symmetric key. `public`: an Ed25519 public key. `secret`: an Ed25519 seed followed by its public key.
 */
export type KeyType = 'local' | 'public' | 'secret';

const KEY_BYTES = { local: 32, public: 32, secret: 64 } as const;
const ID_TYPE = { local: 'lid', public: 'pid', secret: 'sid' } as const;
const ID_BYTES = 33;

/**
 * The key as `k4.<type>.<base64url>`. Throws if the bytes have the wrong length, or if the public half of a secret
 * key does not belong to its seed (PASERK, types/secret.md).
 */
export function serializeKey(type: KeyType, bytes: Uint8Array): string {
  checkKey(type, bytes);
  return `k4.${type}.${Buffer.from(bytes).toString('base64url')}`;
}

/**
 * The bytes of a `k4.<type>.` text. Throws on another version or type, on base64url that is not canonical, and like
 * `serializeKey`.
 */
export function deserializeKey(type: KeyType, text: string): Uint8Array {
  const prefix = `k4.${type}.`;
  const bytes = new Uint8Array(Buffer.from(text.slice(prefix.length), 'base64url'));
  checkKey(type, bytes);
  // Buffer's decoder ignores padding, foreign characters and unused bits. So compare with our own encoding.
  if (serializeKey(type, bytes) !== text) throw new Error(`not a k4.${type} key`);
  return bytes;
}

/**
 * The id of a key: `k4.lid.`, `k4.pid.` or `k4.sid.`, followed by its BLAKE2b-264 (PASERK, operations/ID.md). Throws
 * like `serializeKey`.
 */
export function keyId(type: KeyType, bytes: Uint8Array): string {
  const prefix = `k4.${ID_TYPE[type]}.`;
  const hash = blake2b(new Uint8Array(), ID_BYTES, Buffer.from(prefix + serializeKey(type, bytes)));
  return prefix + Buffer.from(hash).toString('base64url');
}

function checkKey(type: KeyType, bytes: Uint8Array): void {
  const length = KEY_BYTES[type];
  if (bytes.length !== length) throw new Error(`a k4.${type} key is ${length} bytes`);
  if (type !== 'secret') return;
  const { publicBytes } = createV4KeyPair(bytes.subarray(0, 32));
  if (!timingSafeEqual(publicBytes, bytes.subarray(32)))
    throw new Error('a k4.secret key must end in its public key');
}
