/**
 * A browser that has completed a login of an account is a known browser of this account, and carries a proof of that.
 * So strangers who guess at the account do not delay its owner there. The value of the cookie is `id.proof.proof…`,
 * with one proof for each account, the latest first.
 */
import { constantTimeEqual, keyedHash, randomId } from '../lib/crypto.ts';

export interface KnownBrowsers {
  /** The browser's id if the account with this name knows it, else undefined. */
  known(usernameKey: string, cookie: string | undefined): string | undefined;
  /**
   * Returns a cookie that makes this browser known to the account, and keeps it known to the accounts before. An id
   * that the browser already has is kept.
   */
  remember(usernameKey: string, cookie: string | undefined): string;
}

/**
 * Enough for a tablet that a family shares. A browser with more accounts forgets those whose last login is the
 * oldest.
 */
const mostAccounts = 8;

const form = /^([\w-]{16,32})((?:\.[\w-]{43}){1,8})$/;

/** `keys`: the first one makes new proofs. Each of them verifies proofs. */
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
