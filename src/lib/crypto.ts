/**
 * Small cryptographic helpers with node:crypto, for every room: random ids, keyed hashes, sealing at rest. It does
 * not own tokens or password proofs.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  hash,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';

/** A random identifier of 128 bits or more, base64url. */
export const randomId = (bytes = 18): string => randomBytes(bytes).toString('base64url');

/** SHA-256 in base64url. For storing bearer values that have enough entropy. */
export const sha256 = (value: string): string => hash('sha256', value, 'base64url');

/** HMAC-SHA-256. For storing or mapping values that can be guessed (user names, recovery codes). */
export const keyedHash = (key: Uint8Array, ...parts: string[]): Buffer =>
  // As a KeyObject: since Node 24 a key as bytes takes 20 µs instead of 7.
  createHmac('sha256', createSecretKey(key)).update(JSON.stringify(parts)).digest();

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
