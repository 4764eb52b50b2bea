/**
 * Known browsers. A browser that completed a login of an account carries proof of it: strangers who guess at the account do
 * not delay its owner there (buckets.ts). The cookie is `id.proof.proof…`, with one proof for each account, the latest first.
 */
import { constantTimeEqual, keyedHash, randomId } from '../lib/crypto.ts';

export interface KnownBrowsers {
  /** The browser's id where the account with this name knows it. */
  known(usernameKey: string, cookie: string | undefined): string | undefined;
  /**
   * The cookie that makes this browser known to the account, and keeps it known to those before. Keeps the browser's id where
   * it has one.
   */
  remember(usernameKey: string, cookie: string | undefined): string;
}

/** A family's tablet has fewer accounts than these; a browser of a shop's counter forgets those before. */
const mostAccounts = 8;

const form = /^([\w-]{16,32})((?:\.[\w-]{43}){1,8})$/;

/** `keys`: the first makes new proofs, any of them checks one. */
export function createKnownBrowsers(keys: () => [Uint8Array, ...Uint8Array[]]): KnownBrowsers {
  const proofOf = (key: Uint8Array, id: string, usernameKey: string) =>
    keyedHash(key, id, usernameKey).toString('base64url');
  function parse(cookie: string | undefined) {
    const [, id, proofs = ''] = form.exec(cookie ?? '') ?? [];
    return id === undefined ? undefined : { id, proofs: proofs.slice(1).split('.') };
  }
  function isProof(id: string, proof: string, usernameKey: string): boolean {
    return keys().some((key) => constantTimeEqual(proof, proofOf(key, id, usernameKey)));
  }
  return {
    known(usernameKey, cookie) {
      const browser = parse(cookie);
      return browser?.proofs.some((proof) => isProof(browser.id, proof, usernameKey))
        ? browser.id
        : undefined;
    },
    remember(usernameKey, cookie) {
      const { id, proofs } = parse(cookie) ?? { id: randomId(), proofs: [] };
      const others = proofs.filter((proof) => !isProof(id, proof, usernameKey));
      return [id, proofOf(keys()[0], id, usernameKey), ...others].slice(0, 1 + mostAccounts).join('.');
    },
  };
}
