// PASERK for version 4: how a key is written as text (k4.local, k4.public, k4.secret) and what it is called
// (k4.lid, k4.pid, k4.sid). Functions on bytes only; keys.ts names its keys with them. An id is a hash of the
// whole key, so it may stand in the clear in a token's footer.

import { timingSafeEqual } from 'node:crypto';
import { blake2b } from './blake2b.ts';
import { createV4KeyPair } from './v4_public.ts';

/** What kind of key the bytes are: symmetric, Ed25519 public, or Ed25519 seed followed by its public key. */
export type KeyType = 'local' | 'public' | 'secret';

const KEY_BYTES = { local: 32, public: 32, secret: 64 } as const;
const ID_TYPE = { local: 'lid', public: 'pid', secret: 'sid' } as const;
const ID_BYTES = 33;

/**
 * The key as `k4.<type>.<base64url>`. Throws when the bytes are no such key: the wrong length, or a secret
 * whose public half is not its seed's (PASERK, types/secret.md).
 */
export function serializeKey(type: KeyType, bytes: Uint8Array): string {
  checkKey(type, bytes);
  return `k4.${type}.${Buffer.from(bytes).toString('base64url')}`;
}

/**
 * The bytes of a `k4.<type>.` text. Throws on another version or type, base64url not in its one form, or no
 * such key.
 */
export function deserializeKey(type: KeyType, text: string): Uint8Array {
  const prefix = `k4.${type}.`;
  const bytes = new Uint8Array(Buffer.from(text.slice(prefix.length), 'base64url'));
  checkKey(type, bytes);
  // Buffer's decoder overlooks padding, foreign characters and spare bits. Only the text we would write
  // ourselves passes.
  if (serializeKey(type, bytes) !== text) throw new Error(`not a k4.${type} key`);
  return bytes;
}

/**
 * The id of a key: `k4.lid.`, `k4.pid.` or `k4.sid.` and its BLAKE2b-264 (PASERK, operations/ID.md). Throws
 * like serializeKey.
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
