/**
 * The signatures of cookies (`name=value`), in the shape that koa's cookies take: made with the first key and taken from any.
 * Byte for byte those of their own Keygrip, so that instances of an earlier build take them: HMAC-SHA-1, which nothing that is
 * known of SHA-1 weakens (RFC 6194, section 3.3). Keygrip hands OpenSSL its keys as bytes: since Node 24 that costs three times
 * as much as the MAC itself (two errors are made, with their stacks, and thrown away).
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';

export interface CookieSignatures {
  sign(data: string): string;
  /** Which key has made the signature; -1 where none of them has. */
  index(data: string, signature: string): number;
  verify(data: string, signature: string): boolean;
}

/** Of at least one key. */
export function createCookieSignatures(keys: readonly string[]): CookieSignatures {
  const prepared = keys.map((key) => createSecretKey(key, 'utf8'));
  const [first] = prepared;
  if (!first) throw new Error('cookies need a key');
  const signed = (data: string, key: KeyObject) => createHmac('sha1', key).update(data).digest('base64url');
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
