/**
 * Owns the accounts: their names, and the OPAQUE records of their passwords. It knows nothing of OPAQUE's
 * mathematics, of sessions or of HTTP.
 */
import { randomId } from '../lib/crypto.ts';
import { AppError } from '../lib/errors.ts';
import { pageRows, pagesOf } from '../lib/pages.ts';
import type { Database, Query } from '../storage/database.ts';
import { parseUsername, type Username } from './username.ts';

export interface Account {
  id: string;
  username: string;
  usernameKey: string;
  email: string | undefined;
  credentialId: string;
  /** True once a code has confirmed the authenticator. */
  totpConfirmed: boolean;
  /**
   * When all sessions and tokens of the account were last ended, in milliseconds since the epoch. Earlier logins do
   * not count.
   */
  signedOutAt: number | undefined;
}

/** What is stored for a new password. The owner's browser has made it. The id is OPAQUE's credential identifier. */
export interface NewCredential {
  credentialId: string;
  opaqueRecord: { bytes: Uint8Array; suite: string; stretching: object };
  /** The server's OPAQUE key that the record was made with. */
  opaqueKeyId: string;
}

export interface LoginCredential {
  /** False if there is no such account. Then the other fields hold dummy values. */
  known: boolean;
  accountId: string;
  credentialId: string;
  opaqueRecord: Uint8Array;
  opaqueKeyId: string;
}

export interface NewAccount extends NewCredential {
  username: Username;
  email: string | undefined;
}

export interface Accounts {
  /** Checks and folds a username. Throws AppError 400 if it cannot be one. */
  parseUsername(value: string): Username;
  /**
   * The credential for a login. For unknown and disabled accounts it has the same shape and size, and costs the same.
   */
  credentialOf(usernameKey: string): Promise<LoginCredential>;
  /** Undefined for unknown and for disabled accounts. */
  byId(id: string): Promise<Account | undefined>;
  /**
   * Makes the account and returns it. Throws AppError 409 `username_taken`, also if somebody is invited under this
   * name.
   */
  create(account: NewAccount, query?: Query): Promise<Account>;
  /** Replaces the credential `proven` by a new one. False if the account has another credential by now. */
  replaceCredential(query: Query, id: string, proven: string, credential: NewCredential): Promise<boolean>;
  /**
   * Whether this is the account's credential. Locks the account until the transaction ends, so that nothing changes
   * it.
   */
  holdsCredential(query: Query, id: string, credentialId: string): Promise<boolean>;
  /** All accounts, disabled ones too, by name, in pages. */
  list(): AsyncIterable<ListedAccount[]>;
  /**
   * Up to 100 ids, in order and after `after`, of accounts whose records were made with this OPAQUE key of the
   * server.
   */
  withOpaqueKey(keyId: string, query: Query, after?: string): Promise<string[]>;
  /** The id of an account, disabled or not. */
  idOf(usernameKey: string): Promise<string | undefined>;
  /**
   * Disables or enables an account. False if there is no such account. Disabling belongs in the transaction that ends
   * all its sessions and tokens.
   */
  setDisabled(id: string, disabled: boolean, query: Query): Promise<boolean>;
}

export interface ListedAccount {
  id: string;
  username: string;
  usernameKey: string;
  email: string | null;
  totpConfirmed: boolean;
  disabledAt: Date | null;
  createdAt: Date;
}

interface AccountRow {
  id: string;
  username: string;
  username_key: string;
  email: string | null;
  credential_id: string;
  totp_confirmed: boolean;
  signed_out_at: Date | null;
}

const columns = `id, username, username_key, email, credential_id,
  totp_secret is not null as totp_confirmed, signed_out_at`;

/** How sign-up and password change store a credential. */
const credentialColumns = 'credential_id, opaque_record, opaque_suite, opaque_stretching, opaque_key_id';
const credentialValues = ({ credentialId, opaqueRecord, opaqueKeyId }: NewCredential) => [
  credentialId,
  Buffer.from(opaqueRecord.bytes),
  opaqueRecord.suite,
  JSON.stringify(opaqueRecord.stretching),
  opaqueKeyId,
];

/** Dummy values as long as an account's ids, and as a record of the current suite. */
const nobody = { id: 'n'.repeat(24), record: Buffer.alloc(129) };

/** Accounts in PostgreSQL. `now`: milliseconds since the epoch. */
export function createAccounts({ query }: Database, now: () => number): Accounts {
  return {
    parseUsername,
    async credentialOf(usernameKey) {
      const [found] = await query<LoginCredential>(
        `select a.id is not null as known, coalesce(a.id, $2) as "accountId",
           coalesce(a.credential_id, $2) as "credentialId", coalesce(a.opaque_record, $3) as "opaqueRecord",
           coalesce(a.opaque_key_id, $2) as "opaqueKeyId"
         from (values (1)) as one left join accounts a on a.username_key = $1 and a.disabled_at is null`,
        [usernameKey, nobody.id, nobody.record],
      );
      if (!found) throw new Error('a left join has lost its row');
      return found;
    },
    async byId(id) {
      const rows = await query<AccountRow>(
        `select ${columns} from accounts where id = $1 and disabled_at is null`,
        [id],
      );
      return rows.map(fromRow)[0];
    },
    list: () =>
      pagesOf<ListedAccount>((last) =>
        query(
          `select id, username, username_key as "usernameKey", email, totp_secret is not null as "totpConfirmed",
             disabled_at as "disabledAt", created_at as "createdAt"
           from accounts where username_key > $1 order by username_key limit $2`,
          [last?.usernameKey ?? '', pageRows],
        ),
      ),
    async withOpaqueKey(keyId, on, after = '') {
      const rows = await on<{ id: string }>(
        'select id from accounts where opaque_key_id = $1 and id > $2 order by id limit 100',
        [keyId, after],
      );
      return rows.map(({ id }) => id);
    },
    async idOf(usernameKey) {
      const rows = await query<{ id: string }>('select id from accounts where username_key = $1', [
        usernameKey,
      ]);
      return rows[0]?.id;
    },
    async setDisabled(id, disabled, on) {
      const rows = await on('update accounts set disabled_at = $2 where id = $1 returning id', [
        id,
        disabled ? new Date(now()) : null,
      ]);
      return rows.length === 1;
    },
    create: (account, on = query) => createAccount(on, account, now()),
    async replaceCredential(on, id, proven, credential) {
      const rows = await on(
        `update accounts set (${credentialColumns}) = ($3, $4, $5, $6, $7)
         where id = $1 and credential_id = $2 and disabled_at is null returning id`,
        [id, proven, ...credentialValues(credential)],
      );
      return rows.length === 1;
    },
    async holdsCredential(on, id, credentialId) {
      const rows = await on(
        'select id from accounts where id = $1 and credential_id = $2 and disabled_at is null for no key update',
        [id, credentialId],
      );
      return rows.length === 1;
    },
  };
}

async function createAccount(
  on: Query,
  { username, email, ...credential }: NewAccount,
  nowMs: number,
): Promise<Account> {
  const rows = await on<AccountRow>(
    `insert into accounts (id, username, username_key, email, created_at, ${credentialColumns})
     select $1, $2, $3, $4, $5::timestamptz, $6, $7::bytea, $8, $9::jsonb, $10
     where not exists (
       select from invitations where username_key = $3 and used_at is null and expires_at > $5)
     on conflict (username_key) do nothing
     returning ${columns}`,
    [
      randomId(),
      username.shown,
      username.key,
      email ?? null,
      new Date(nowMs),
      ...credentialValues(credential),
    ],
  );
  const [account] = rows.map(fromRow);
  if (!account) throw new AppError('username_taken', 'This username is taken. Choose another one.');
  return account;
}

const fromRow = (row: AccountRow): Account => ({
  id: row.id,
  username: row.username,
  usernameKey: row.username_key,
  email: row.email ?? undefined,
  credentialId: row.credential_id,
  totpConfirmed: row.totp_confirmed,
  signedOutAt: row.signed_out_at?.getTime(),
});
