/**
 * Invitations to make an account. An administrator names somebody and receives a link, which is shown only once. With
 * it the person makes the account, so nobody else sees a password. While the link is valid, nobody else can take the
 * name.
 */
import type { Audit } from '../audit/audit.ts';
import { randomId, sha256 } from '../lib/crypto.ts';
import { invitationEnded } from '../lib/errors.ts';
import { pageRows, pagesOf } from '../lib/pages.ts';
import type { Database } from '../storage/database.ts';
import type { Account, Accounts, NewAccount } from './accounts.ts';

export interface Invitation {
  username: string;
  usernameKey: string;
  /** If the administrator gave one, it becomes the account's. */
  email: string | null;
  createdAt: Date;
  expiresAt: Date;
}

export interface Invitations {
  /**
   * Invites somebody; this replaces an earlier invitation of that name. `token` is 256 bits as base64url, and is
   * returned only here. `seconds`: its lifetime. Rejects with an Error if the name has an account, with AppError 400
   * if it cannot be a name.
   */
  invite(
    username: string,
    email: string | undefined,
    seconds: number,
  ): Promise<Invitation & { token: string }>;
  /** The invitation of this token, while it is valid. */
  byToken(token: string): Promise<Invitation | undefined>;
  /**
   * Uses the invitation up and makes its account: both or neither. Of parallel uses only one succeeds. Throws
   * AppError 403 `invitation_ended` if it is not valid, or is for another name.
   */
  accept(token: string, account: NewAccount): Promise<Account>;
  /** All valid invitations, by name, in pages. */
  list(): AsyncIterable<Invitation[]>;
}

export interface InvitationDeps {
  database: Database;
  accounts: Pick<Accounts, 'create' | 'parseUsername'>;
  audit: Audit;
  /** Milliseconds since the epoch. */
  now: () => number;
}

const columns = `username, username_key as "usernameKey", email, created_at as "createdAt", expires_at as "expiresAt"`;

export function createInvitations({ database, accounts, audit, now }: InvitationDeps): Invitations {
  const at = (seconds = 0) => new Date(now() + seconds * 1000);
  return {
    async invite(username, email, seconds) {
      const { shown, key } = accounts.parseUsername(username);
      const token = randomId(32);
      const [invitation] = await database.query<Invitation>(
        `insert into invitations (username_key, username, email, token_hash, created_at, expires_at)
         select $1, $2, $3, $4, $5::timestamptz, $6::timestamptz
         where not exists (select from accounts where username_key = $1)
         on conflict (username_key) do update set
           (username, email, token_hash, created_at, expires_at, used_at) =
           (excluded.username, excluded.email, excluded.token_hash, excluded.created_at, excluded.expires_at, null)
         returning ${columns}`,
        [key, shown, email ?? null, sha256(token), at(), at(seconds)],
      );
      if (!invitation) throw new Error(`there is an account "${username}" already`);
      audit.record({ event: 'account.invited', detail: { username: shown } });
      return { ...invitation, token };
    },
    async byToken(token) {
      const rows = await database.query<Invitation>(
        `select ${columns} from invitations where token_hash = $1 and used_at is null and expires_at > $2`,
        [sha256(token), at()],
      );
      return rows[0];
    },
    accept: (token, account) =>
      database.transaction(async (query) => {
        const [used] = await query<Pick<Invitation, 'username' | 'email'>>(
          `update invitations set used_at = $3
           where token_hash = $1 and username_key = $2 and used_at is null and expires_at > $3
           returning username, email`,
          [sha256(token), account.username.key, at()],
        );
        if (!used) throw invitationEnded();
        const username = accounts.parseUsername(used.username);
        return accounts.create({ ...account, username, email: used.email ?? account.email }, query);
      }),
    list: () =>
      pagesOf<Invitation>((last) =>
        database.query(
          `select ${columns} from invitations
           where username_key > $1 and used_at is null and expires_at > $2 order by username_key limit $3`,
          [last?.usernameKey ?? '', at(), pageRows],
        ),
      ),
  };
}
