/**
 * Links for people who have lost their authenticator. An administrator issues a link. Whoever opens it proves the
 * password and sets up a new authenticator. Until then the current one stays in use. So a link that nobody opens
 * changes nothing, and a password alone never leads to a set-up.
 */
import type { Audit } from '../audit/audit.ts';
import { randomId, sha256 } from '../lib/crypto.ts';
import { resetEnded } from '../lib/errors.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { Database, Query } from '../storage/database.ts';
import type { Accounts } from './accounts.ts';

export interface AuthenticatorReset {
  accountId: string;
  username: string;
  expiresAt: Date;
}

export interface AuthenticatorResets {
  /**
   * Issues a link, which replaces an earlier one of that account. `token` is 256 bits as base64url, and is returned
   * only here. `seconds`: its lifetime. Rejects with an Error if there is no such account, it is disabled, or it has
   * no authenticator.
   */
  issue(username: string, seconds: number): Promise<AuthenticatorReset & { token: string }>;
  /** The account that this token is for, while it is valid. */
  byToken(token: string): Promise<AuthenticatorReset | undefined>;
  /**
   * Uses the link up, in the transaction that has set the new authenticator. Also ends everything of the account,
   * because whoever has the old authenticator may have sessions. Returns when that was, in milliseconds since the
   * epoch. Of parallel uses only one succeeds. Throws AppError 403 `reset_ended`.
   */
  use(query: Query, accountId: string, token: string, address: string): Promise<number>;
}

export interface AuthenticatorResetDeps {
  database: Database;
  accounts: Pick<Accounts, 'parseUsername'>;
  revocations: Pick<Revocations, 'endAccount'>;
  audit: Pick<Audit, 'recordWithin'>;
  /** Milliseconds since the epoch. */
  now: () => number;
}

export function createAuthenticatorResets(deps: AuthenticatorResetDeps): AuthenticatorResets {
  const { database, accounts, revocations, audit, now } = deps;
  return {
    issue: (username, seconds) =>
      database.transaction(async (query) => {
        const token = randomId(32);
        const [issued] = await query<AuthenticatorReset>(
          `with account as (
             select id, username from accounts
             where username_key = $1 and disabled_at is null and totp_secret is not null),
           link as (
             insert into authenticator_resets (account_id, token_hash, created_at, expires_at)
             select id, $2, $3::timestamptz, $4::timestamptz from account
             on conflict (account_id) do update set (token_hash, created_at, expires_at, used_at) =
               (excluded.token_hash, excluded.created_at, excluded.expires_at, null)
             returning account_id, expires_at)
           select account_id as "accountId", username, expires_at as "expiresAt"
           from link join account on account.id = account_id`,
          [
            accounts.parseUsername(username).key,
            sha256(token),
            new Date(now()),
            new Date(now() + seconds * 1000),
          ],
        );
        if (!issued) throw new Error(`there is no account "${username}" in use that has an authenticator`);
        const { accountId, expiresAt } = issued;
        const detail = { expiresAt: expiresAt.toISOString() };
        await audit.recordWithin(query, { event: 'totp.reset_issued', accountId, detail });
        return { ...issued, token };
      }),
    async byToken(token) {
      const [found] = await database.query<AuthenticatorReset>(
        `select account_id as "accountId", username, r.expires_at as "expiresAt"
         from authenticator_resets r join accounts a on a.id = account_id
         where token_hash = $1 and used_at is null and r.expires_at > $2 and disabled_at is null`,
        [sha256(token), new Date(now())],
      );
      return found;
    },
    async use(query, accountId, token, address) {
      const used = await query(
        `update authenticator_resets set used_at = $3
         where account_id = $1 and token_hash = $2 and used_at is null and expires_at > $3 returning account_id`,
        [accountId, sha256(token), new Date(now())],
      );
      if (used.length === 0) throw resetEnded();
      await revocations.endAccount(accountId, query);
      const detail = { by: 'owner' };
      await audit.recordWithin(query, { event: 'totp.reset', accountId, address, detail });
      return now();
    },
  };
}
