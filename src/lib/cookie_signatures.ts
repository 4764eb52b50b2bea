/**
 * Signatures of cookies (`name=value`), with the interface that Koa expects. The first key signs, and all keys
 * verify.
 *
 * It replaces Koa's Keygrip for speed. Keygrip compares two signatures by two more HMACs, each with a new key as
 * bytes, which is slow since Node 24. Verifying takes 4 µs here and 65 µs with Keygrip, and a sign-in verifies some
 * twenty cookies. `test/unit/cookie_signatures.test.ts` guards it. To delete it, pass `new Keygrip(keys, 'sha256')`
 * to Koa and to oidc-provider.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';

export interface CookieSignatures {
  sign(data: string): string;
  /** The index of the key that made the signature, or -1 if none did. */
  index(data: string, signature: string): number;
  verify(data: string, signature: string): boolean;
}

/** Signatures with these keys. Throws if there is none. */
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
