/**
 * Who is signed in in a browser, for the issuer's own pages: the session's account, if the session is still valid.
 */
import type { Context } from 'koa';
import type Provider from 'oidc-provider';
import type { Account, Accounts } from '../../accounts/accounts.ts';
import { presentSession } from '../library/models/session.ts';

export interface SignedIn {
  account: Account;
  sessionUid: string;
}

/**
 * Makes a function that resolves with the account and session of a request. Undefined if nobody is signed in, or if
 * everything of the account was ended after the session's login.
 */
export function createSignedIn(provider: Provider, accounts: Pick<Accounts, 'byId'>) {
  return async (ctx: Context): Promise<SignedIn | undefined> => {
    const { accountId, uid, loginTs } = await presentSession(provider, ctx);
    const account = accountId === undefined ? undefined : await accounts.byId(accountId);
    if (!account || !standsAfter(account, loginTs)) return undefined;
    return { account, sessionUid: uid };
  };
}

/** Whether a login (unix seconds) came after everything of the account was last ended. */
export const standsAfter = (
  { signedOutAt }: Pick<Account, 'signedOutAt'>,
  loginTs: number | undefined,
): boolean => loginTs === undefined || signedOutAt === undefined || loginTs * 1000 > signedOutAt;
