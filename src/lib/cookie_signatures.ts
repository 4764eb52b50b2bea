/**
 * Signatures of cookies (`name=value`), in the shape that Koa takes. The first key signs and all keys verify.
 *
 * Used instead of Koa's own Keygrip for speed. Keygrip compares two signatures by two more HMACs, each with a new key that is
 * handed over as bytes, which is slow since Node 24. Verifying takes 4 µs here and 65 µs there, and a sign-in verifies some
 * twenty cookies. `test/unit/cookie_signatures.test.ts` guards it. To delete it, hand `new Keygrip(keys, 'sha256')` to Koa and
 * to oidc-provider.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';

export interface CookieSignatures {
  sign(data: string): string;
  /** The index of the key that made the signature, or -1 if none of them did. */
  index(data: string, signature: string): number;
  verify(data: string, signature: string): boolean;
}

/** Throws unless there is at least one key. */
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
