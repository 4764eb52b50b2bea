/**
 * Small cryptographic helpers with node:crypto, for every room: random ids, keyed hashes, sealing at rest. It does
 * not own tokens or password proofs.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  hash,
  hkdfSync,
  type KeyObject,
  randomFillSync,
  timingSafeEqual,
} from 'node:crypto';

const pool = Buffer.alloc(4096);
let usedBytes = pool.length;

/**
 * So many random bytes. They are taken from a page that OpenSSL fills, for speed, and are wiped from it. Throws a
 * RangeError for more than the page has, 4096.
 *
 * One call of OpenSSL takes 23 µs while requests are served, and every request needs at least one id: 5 % of the CPU of
 * an introspection. `test/unit/crypto.test.ts` checks that no bytes come twice. To delete it, export `randomBytes` of
 * node:crypto instead.
 */
export function randomBytes(count: number): Buffer {
  if (count > pool.length) throw new RangeError(`at most ${pool.length} random bytes at once`);
  if (usedBytes + count > pool.length) {
    randomFillSync(pool);
    usedBytes = 0;
  }
  const from = pool.subarray(usedBytes, usedBytes + count);
  usedBytes += count;
  const bytes = Buffer.from(from);
  from.fill(0);
  return bytes;
}

/** A random identifier of 128 bits or more, base64url. */
export const randomId = (bytes = 18): string => randomBytes(bytes).toString('base64url');

/** SHA-256 in base64url. For storing bearer values that have enough entropy. */
export const sha256 = (value: string): string => hash('sha256', value, 'base64url');

/**
 * HMAC-SHA-256 (RFC 2104) of the parts as JSON. For storing or mapping values that can be guessed (user names, recovery
 * codes). `key`: at most 64 bytes, which must not change afterwards. Throws a RangeError for a longer one.
 *
 * It hashes twice itself, for speed: 13 µs while requests are served, and 38 µs with `createHmac` of node:crypto, which
 * makes two objects that OpenSSL has to free. A sign-in needs more than ten. `test/unit/crypto.test.ts` compares the two.
 * To delete it, use `createHmac('sha256', key)`.
 */
export function keyedHash(key: Uint8Array, ...parts: string[]): Buffer {
  let pads = padsOfKeys.get(key);
  if (!pads) {
    pads = { inner: padded(key, 0x36), outer: padded(key, 0x5c) };
    padsOfKeys.set(key, pads);
  }
  const inner = hash('sha256', Buffer.concat([pads.inner, Buffer.from(JSON.stringify(parts))]), 'buffer');
  return hash('sha256', Buffer.concat([pads.outer, inner]), 'buffer');
}

const padsOfKeys = new WeakMap<Uint8Array, { inner: Buffer; outer: Buffer }>();
const blockBytes = 64;

function padded(key: Uint8Array, pad: number): Buffer {
  if (key.length > blockBytes) throw new RangeError(`a key of a keyed hash has at most ${blockBytes} bytes`);
  return Buffer.from(Uint8Array.from({ length: blockBytes }, (_, index) => (key[index] ?? 0) ^ pad));
}

/** Derives a 32-byte key for one purpose from a parent key (RFC 5869). */
export const deriveKey = (parent: Uint8Array, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', parent, '', `cypher ${purpose}`, 32));

/** Compares two strings. The time does not depend on where they differ. */
export function constantTimeEqual(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest());
}

const ivBytes = 12;
const tagBytes = 16;

export interface Sealer {
  /** The id of the key-encryption key that seals. Store it next to the sealed value. */
  readonly kekId: string;
  /** AES-256-GCM. `identity` (table, row, column) is the associated data, so a sealed value cannot be moved. */
  seal(plaintext: Uint8Array, identity: string): Buffer;
  /**
   * The plaintext. Throws if the key, the identity or the bytes are not those of `seal`. `kekId` is the id that was
   * stored with the value. Without it, all keys are tried.
   */
  unseal(sealed: Uint8Array, identity: string, kekId?: string): Buffer;
  /** Whether this key-encryption key is one of ours. */
  knows(kekId: string): boolean;
}

/**
 * Seals values at rest with the 32-byte key-encryption key. Values that were sealed with `previous` can still be
 * unsealed. Layout of a sealed value: IV (12 bytes), ciphertext, tag (16 bytes). Throws if a key is not 32 bytes.
 */
export function createSealer(kek: Uint8Array, previous?: Uint8Array): Sealer {
  const current = sealingKey(kek);
  const keys = previous ? [current, sealingKey(previous)] : [current];
  return {
    kekId: current.kekId,
    knows: (kekId) => keys.some((each) => each.kekId === kekId),
    seal(plaintext, identity) {
      const iv = randomBytes(ivBytes);
      const cipher = createCipheriv('aes-256-gcm', current.key, iv).setAAD(Buffer.from(identity));
      return Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    },
    unseal(sealed, identity, kekId) {
      const fitting = keys.filter((each) => kekId === undefined || each.kekId === kekId);
      for (const [index, { key }] of fitting.entries()) {
        try {
          return unsealWith(key, Buffer.from(sealed), identity);
        } catch (error) {
          if (index === fitting.length - 1) throw error;
        }
      }
      throw new Error(`what key-encryption key ${kekId} has sealed cannot be unsealed`);
    },
  };
}

function sealingKey(kek: Uint8Array): { kekId: string; key: KeyObject } {
  if (kek.length !== 32) throw new Error('the key-encryption key must be 32 bytes');
  const kekId = sha256(`kek ${Buffer.from(deriveKey(kek, 'kek id')).toString('base64url')}`).slice(0, 16);
  return { kekId, key: createSecretKey(deriveKey(kek, 'seal')) };
}

function unsealWith(key: KeyObject, sealed: Buffer, identity: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, ivBytes), {
    authTagLength: tagBytes,
  })
    .setAAD(Buffer.from(identity))
    .setAuthTag(sealed.subarray(-tagBytes));
  return Buffer.concat([decipher.update(sealed.subarray(ivBytes, -tagBytes)), decipher.final()]);
}
