/**
 * Known devices and the buckets that failures are counted in. A browser that completed a login carries proof of it; its
 * failures count apart, so that strangers who guess at an account cannot lock its owner out of the devices they use.
 */
import { constantTimeEqual, keyedHash, randomId } from '../lib/crypto.ts';

export interface Devices {
  /** The bucket of attempts at this name from this browser. Unknown names have buckets like any other. */
  bucket(usernameKey: string, cookie: string | undefined): Buffer;
  /** The cookie that makes this browser a known device of the account. Keeps the device's id where it has one. */
  remember(usernameKey: string, cookie: string | undefined): string;
}

/** `deviceKeys`: the first makes new proofs, any of them checks one. */
export function createDevices(
  bucketKey: Uint8Array,
  deviceKeys: () => [Uint8Array, ...Uint8Array[]],
): Devices {
  const mac = (key: Uint8Array, id: string, usernameKey: string) =>
    keyedHash(key, id, usernameKey).toString('base64url');
  const parse = (cookie: string | undefined) => /^([\w-]{16,32})\.([\w-]{43})$/.exec(cookie ?? '');
  return {
    bucket(usernameKey, cookie) {
      const [, id = '', proof = ''] = parse(cookie) ?? [];
      const known =
        id !== '' && deviceKeys().some((key) => constantTimeEqual(proof, mac(key, id, usernameKey)));
      return keyedHash(bucketKey, usernameKey, known ? id : '');
    },
    remember(usernameKey, cookie) {
      const [, id = randomId()] = parse(cookie) ?? [];
      return `${id}.${mac(deviceKeys()[0], id, usernameKey)}`;
    },
  };
}
