/**
 * Pairwise subjects (OpenID Connect Core, section 8.1): a client whose `subject_type` is `pairwise` knows each account
 * by a name of its own, or of its sector's, so that apps cannot put together what one person does at all of them.
 */
import type { Client } from 'oidc-provider';
import { keyedHash } from '../../lib/crypto.ts';

/** The name of an account at a client: the same at every login, and nothing that leads back to the account. */
export type Pairwise = (accountId: string, client: Client) => string;

/** `salt`: 32 bytes that never change, or all of the clients' accounts would be new to them. */
export const createPairwise =
  (salt: Uint8Array): Pairwise =>
  (accountId, client) =>
    keyedHash(salt, String(client.sectorIdentifier), accountId).toString('base64url');

export const isPairwise = (client: Client | undefined): boolean => client?.subjectType === 'pairwise';
