/**
 * Known devices. A browser that completed a login of an account carries proof of it: strangers who guess at the account do not
 * delay its owner there (buckets.ts). The cookie is `id.proof.proof…`, with one proof for each account, the latest first.
 */
import { constantTimeEqual, keyedHash, randomId } from '../lib/crypto.ts';

export interface Devices {
  /** The browser's id where it is a known device of the account with this name. */
  known(usernameKey: string, cookie: string | undefined): string | undefined;
  /**
   * The cookie that makes this browser a known device of the account, beside those of the accounts before. Keeps the device's
   * id where it has one.
   */
  remember(usernameKey: string, cookie: string | undefined): string;
}

/** A family's tablet has fewer accounts than these; a browser of a shop's counter forgets those before. */
const mostAccounts = 8;

const form = /^([\w-]{16,32})((?:\.[\w-]{43}){1,8})$/;

/** `deviceKeys`: the first makes new proofs, any of them checks one. */
export function createDevices(deviceKeys: () => [Uint8Array, ...Uint8Array[]]): Devices {
  const proofOf = (key: Uint8Array, id: string, usernameKey: string) =>
    keyedHash(key, id, usernameKey).toString('base64url');
  function parse(cookie: string | undefined) {
    const [, id, proofs = ''] = form.exec(cookie ?? '') ?? [];
    return id === undefined ? undefined : { id, proofs: proofs.slice(1).split('.') };
  }
  function isProof(id: string, proof: string, usernameKey: string): boolean {
    return deviceKeys().some((key) => constantTimeEqual(proof, proofOf(key, id, usernameKey)));
  }
  return {
    known(usernameKey, cookie) {
      const device = parse(cookie);
      return device?.proofs.some((proof) => isProof(device.id, proof, usernameKey)) ? device.id : undefined;
    },
    remember(usernameKey, cookie) {
      const { id, proofs } = parse(cookie) ?? { id: randomId(), proofs: [] };
      const others = proofs.filter((proof) => !isProof(id, proof, usernameKey));
      return [id, proofOf(deviceKeys()[0], id, usernameKey), ...others].slice(0, 1 + mostAccounts).join('.');
    },
  };
}
