/**
 * oidc-provider expects to hold the secrets of its clients. If we have only a hash, it gets this random one instead.
 */
import { randomId } from '../../lib/crypto.ts';

const unknownSecret = randomId(32);

export const isUnknownSecret = (secret: unknown): boolean => secret === unknownSecret;

/** Adds a secret to metadata, as the library expects it: `secret`, or the random one that nobody knows. */
export const withSecret = (metadata: object, secret?: string) => ({
  ...metadata,
  client_secret: secret ?? unknownSecret,
});
