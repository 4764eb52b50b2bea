/**
 * Pairwise subjects (OpenID Connect Core, section 8.1). A client whose `subject_type` is `pairwise` gets its own
 * `sub` for each account, shared only within its sector. So apps of different sectors cannot link what one person
 * does in them.
 */
import type { Client } from 'oidc-provider';
import { keyedHash } from '../../lib/crypto.ts';

/**
 * The pairwise subject of an account at a client. It is the same at every login and does not reveal the account's id.
 */
export type Pairwise = (accountId: string, client: Client) => string;

/** `salt`: 32 secret bytes. They must never change, or pairwise clients would see every account as a new one. */
export const createPairwise =
  (salt: Uint8Array): Pairwise =>
  (accountId, client) =>
    keyedHash(salt, String(client.sectorIdentifier), accountId).toString('base64url');

export const isPairwise = (client: Client | undefined): boolean => client?.subjectType === 'pairwise';
