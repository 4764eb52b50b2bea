/**
 * What an administrator may do to an account. A change that takes access away also ends all sessions and tokens of
 * the account, in the same transaction. After the answer nothing issues a token for it, and none of its tokens
 * introspects as active.
 */
import type { Audit, AuditEventName } from '../audit/audit.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { ListedSession, SessionStore } from '../sessions/store.ts';
import type { Database, Query } from '../storage/database.ts';
import type { Accounts, ListedAccount } from './accounts.ts';

export interface AccountControl {
  /** All accounts, by name, in pages. */
  list(): AsyncIterable<ListedAccount[]>;
  disable(username: string): Promise<void>;
  enable(username: string): Promise<void>;
  /** The account's live sessions, the newest first, in pages. */
  sessions(username: string): Promise<AsyncIterable<ListedSession[]>>;
  /** Ends the session with this `uid` and the grants that belong to it. Without a `uid`, ends everything. */
  signOut(username: string, session?: string): Promise<void>;
}

export interface AccountControlDeps {
  accounts: Accounts;
  sessions: Pick<SessionStore, 'allOfAccount'>;
  revocations: Pick<Revocations, 'endAccount' | 'endSession'>;
  audit: Pick<Audit, 'recordWithin'>;
  database: Database;
}

/** All functions that take a username reject with an Error that names it if there is no such account. */
export function createAccountControl({
  accounts,
  sessions,
  revocations,
  audit,
  database,
}: AccountControlDeps): AccountControl {
  async function idOf(username: string): Promise<string> {
    const accountId = await accounts.idOf(accounts.parseUsername(username).key);
    if (accountId === undefined) throw new Error(`there is no account "${username}"`);
    return accountId;
  }

  async function on(
    username: string,
    event: AuditEventName,
    change: (query: Query, accountId: string) => Promise<unknown>,
  ): Promise<void> {
    const accountId = await idOf(username);
    await database.transaction(async (query) => {
      await change(query, accountId);
      await audit.recordWithin(query, { event, accountId });
    });
  }

  return {
    list: accounts.list,
    disable: (username) =>
      on(username, 'account.disabled', async (query, id) => {
        await accounts.setDisabled(id, true, query);
        await revocations.endAccount(id, query);
      }),
    enable: (username) =>
      on(username, 'account.enabled', (query, id) => accounts.setDisabled(id, false, query)),
    sessions: async (username) => sessions.allOfAccount(await idOf(username)),
    signOut: (username, session) =>
      session === undefined
        ? on(username, 'account.signed_out', (query, id) => revocations.endAccount(id, query))
        : on(username, 'session.ended', async (query, id) => {
            if (!(await revocations.endSession(id, session, query)))
              throw new Error(`"${username}" has no session "${session}"`);
          }),
  };
}
