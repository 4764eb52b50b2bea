/**
 * Accounts: who there is, under which name, and the OPAQUE record that stands for the password. It knows nothing of
 * OPAQUE's mathematics, of sessions or of HTTP. Called by the interaction's steps and by oidc-provider for claims.
 */
import { randomId } from '../lib/crypto.ts';
import { AppError } from '../lib/errors.ts';
import type { Database } from '../storage/database.ts';
import { parseUsername, type Username } from './username.ts';

export interface Account {
  id: string;
  username: string;
  usernameKey: string;
  email: string | undefined;
  credentialId: string;
  opaqueRecord: Buffer;
  /** True once a code has confirmed the authenticator. */
  totpConfirmed: boolean;
}

export interface NewAccount {
  username: Username;
  email: string | undefined;
  credentialId: string;
  opaqueRecord: { bytes: Uint8Array; suite: string; stretching: object };
}

export interface Accounts {
  /** Checks and folds a user name. Throws AppError 400 where it cannot be one. */
  parseUsername(value: string): Username;
  /** Undefined for unknown and disabled accounts alike. */
  byUsername(usernameKey: string): Promise<Account | undefined>;
  /** Undefined for unknown and disabled accounts alike. */
  byId(id: string): Promise<Account | undefined>;
  /** Makes the account and returns it. Throws AppError 409 `username_taken`. */
  create(account: NewAccount): Promise<Account>;
}

interface AccountRow {
  id: string;
  username: string;
  username_key: string;
  email: string | null;
  credential_id: string;
  opaque_record: Buffer;
  totp_confirmed: boolean;
}

const columns = `id, username, username_key, email, credential_id, opaque_record,
  totp_secret is not null as totp_confirmed`;

export function createAccounts({ query }: Database, now: () => number): Accounts {
  return {
    parseUsername,
    async byUsername(usernameKey) {
      const rows = await query<AccountRow>(
        `select ${columns} from accounts where username_key = $1 and disabled_at is null`,
        [usernameKey],
      );
      return rows.map(fromRow)[0];
    },
    async byId(id) {
      const rows = await query<AccountRow>(
        `select ${columns} from accounts where id = $1 and disabled_at is null`,
        [id],
      );
      return rows.map(fromRow)[0];
    },
    async create({ username, email, credentialId, opaqueRecord }) {
      const rows = await query<AccountRow>(
        `insert into accounts (id, username, username_key, email, credential_id, opaque_record, opaque_suite,
           opaque_stretching, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (username_key) do nothing
         returning ${columns}`,
        [
          randomId(),
          username.shown,
          username.key,
          email ?? null,
          credentialId,
          Buffer.from(opaqueRecord.bytes),
          opaqueRecord.suite,
          JSON.stringify(opaqueRecord.stretching),
          new Date(now()),
        ],
      );
      const [account] = rows.map(fromRow);
      if (!account) throw new AppError('username_taken', 'This username is taken. Choose another one.');
      return account;
    },
  };
}

const fromRow = (row: AccountRow): Account => ({
  id: row.id,
  username: row.username,
  usernameKey: row.username_key,
  email: row.email ?? undefined,
  credentialId: row.credential_id,
  opaqueRecord: row.opaque_record,
  totpConfirmed: row.totp_confirmed,
});
