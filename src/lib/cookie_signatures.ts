/**
 * The signatures of cookies (`name=value`), in the shape that koa's cookies take: HMAC-SHA-256, made with the first key and
 * taken from any. In the place of their own Keygrip, which uses SHA-1, and hands OpenSSL its keys as bytes: since Node 24
 * that costs three times as much as the MAC itself (two errors are made, with their stacks, and thrown away).
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';

export interface CookieSignatures {
  sign(data: string): string;
  /** Which key has made the signature; -1 where none of them has. */
  index(data: string, signature: string): number;
  verify(data: string, signature: string): boolean;
}

/** Of at least one key. */
export function createCookieSignatures(keys: readonly Uint8Array[]): CookieSignatures {
  const prepared = keys.map((key) => createSecretKey(key));
  const [first] = prepared;
  if (!first) throw new Error('cookies need a key');
  const signed = (data: string, key: KeyObject) => createHmac('sha256', key).update(data).digest('base64url');
  const index: CookieSignatures['index'] = (data, signature) => {
    const given = Buffer.from(signature);
    return prepared.findIndex((key) => {
      const own = Buffer.from(signed(data, key));
      return own.length === given.length && timingSafeEqual(own, given);
    });
  };
  return {
    sign: (data) => signed(data, first),
    index,
    verify: (data, signature) => index(data, signature) >= 0,
  };
}
