/** The SQL of the second factor. Every use is one conditional statement, so of several parallel uses one succeeds. */
import type { SealedColumn } from '../keys/reseal.ts';
import type { Query } from '../storage/database.ts';
import { spend } from '../storage/spent.ts';

/** The identity that an account's sealed secret is bound to. */
export const sealedAs = (accountId: string): string => `accounts ${accountId} totp_secret`;

/** The column to seal again with a new key-encryption key. */
export const sealedSecrets: SealedColumn = {
  table: 'accounts',
  column: 'totp_secret',
  kekColumn: 'totp_kek_id',
  identityOf: sealedAs,
};

/** The first secret of an account, or one that replaces the present one. */
export type SecretChange = 'first' | 'replacement';

/**
 * Stores a secret that a code of this step has confirmed. Returns false if the account is disabled, if a `first`
 * secret would replace one, or if there is none for a `replacement`. So the set-up page cannot replace a secret.
 */
export async function setSecret(
  query: Query,
  accountId: string,
  { change, sealed, kekId, step }: { change: SecretChange; sealed: Uint8Array; kekId: string; step: number },
): Promise<boolean> {
  const rows = await query(
    `update accounts set totp_secret = $2, totp_kek_id = $3, totp_last_step = $4
     where id = $1 and (totp_secret is not null) = $5 and disabled_at is null returning id`,
    [accountId, sealed, kekId, step, change === 'replacement'],
  );
  return rows.length === 1;
}

export interface StoredSecret {
  sealed: Buffer;
  kekId: string;
  /** The last time step that was used. */
  lastStep: number | null;
}

/** Undefined if the account has no authenticator or is disabled. */
export async function readSecret(query: Query, accountId: string): Promise<StoredSecret | undefined> {
  const rows = await query<StoredSecret>(
    `select totp_secret as sealed, totp_kek_id as "kekId", totp_last_step as "lastStep" from accounts
     where id = $1 and totp_secret is not null and disabled_at is null`,
    [accountId],
  );
  return rows[0];
}

/** The id in the table of used ids that invalidates a step. */
const invalidStep = (accountId: string, step: number): string => `totp:${accountId}:${step}`;

/** Invalidates the code of a future step. `expiresAt`: when it expires anyway, in milliseconds since the epoch. */
export async function invalidateStep(
  query: Query,
  accountId: string,
  step: number,
  expiresAt: number,
): Promise<void> {
  await spend(query, invalidStep(accountId, step), expiresAt);
}

/**
 * Marks a time step of this secret as used. Returns false if this or a later step was used before, if it was
 * invalidated, if the account has another secret, or if it is disabled.
 */
export async function useStep(
  query: Query,
  accountId: string,
  step: number,
  sealed: Uint8Array,
): Promise<boolean> {
  const rows = await query(
    `update accounts set totp_last_step = $2
     where id = $1 and (totp_last_step is null or totp_last_step < $2) and disabled_at is null
       and totp_secret = $3 and not exists (select from spent where spent.id = $4) returning id`,
    [accountId, step, sealed, invalidStep(accountId, step)],
  );
  return rows.length === 1;
}

/** Replaces the account's recovery codes by these hashes. */
export async function replaceRecoveryCodes(
  query: Query,
  accountId: string,
  hashes: Uint8Array[],
): Promise<void> {
  await query(
    `insert into unused_recovery_codes (account_id, code_hashes) values ($1, $2::bytea[])
     on conflict (account_id) do update set code_hashes = excluded.code_hashes`,
    [accountId, hashes],
  );
}

/** Whether these are the account's recovery codes, and none of them was used. */
export async function hasUnusedRecoveryCodes(
  query: Query,
  accountId: string,
  hashes: Uint8Array[],
): Promise<boolean> {
  const rows = await query(
    `select account_id from unused_recovery_codes
     where account_id = $1 and code_hashes @> $2::bytea[] and code_hashes <@ $2::bytea[]`,
    [accountId, hashes],
  );
  return rows.length === 1;
}

/** How many recovery codes have not been used. */
export async function countRecoveryCodes(query: Query, accountId: string): Promise<number> {
  const [row] = await query<{ count: number }>(
    'select cardinality(code_hashes) as count from unused_recovery_codes where account_id = $1',
    [accountId],
  );
  return row?.count ?? 0;
}

/** Uses a recovery code up. Returns false if it is unknown or was used before. */
export async function useRecoveryCode(query: Query, accountId: string, hash: Uint8Array): Promise<boolean> {
  const rows = await query(
    `update unused_recovery_codes set code_hashes = array_remove(code_hashes, $2::bytea)
     where account_id = $1 and $2::bytea = any(code_hashes) returning account_id`,
    [accountId, hash],
  );
  return rows.length === 1;
}
