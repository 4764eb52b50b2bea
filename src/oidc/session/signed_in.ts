/** Who is signed in in a browser, for the pages of the issuer itself: what the session says, while the account stands by it. */
import type { Context } from 'koa';
import type Provider from 'oidc-provider';
import type { Account, Accounts } from '../../accounts/accounts.ts';
import { presentSession } from '../library/models/session.ts';

export interface SignedIn {
  account: Account;
  sessionUid: string;
}

/** Undefined where nobody is, or where everything of the account was ended after the session's login. */
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
