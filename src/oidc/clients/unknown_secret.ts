/** oidc-provider wants to hold the secrets of its clients. Where we have only a hash of one, it is given one that nobody knows. */
import { randomId } from '../../lib/crypto.ts';

const unknownSecret = randomId(32);

export const isUnknownSecret = (secret: unknown): boolean => secret === unknownSecret;

/** Metadata as the library takes it: with a secret, wherever it would want one. */
export const withSecret = (metadata: object, secret?: string) => ({
  ...metadata,
  client_secret: secret ?? unknownSecret,
});
