/** What an account says of itself in ID tokens and at userinfo, by scope (OpenID Connect Core, section 5.4). Pure. */
import type { Account } from '../accounts/accounts.ts';

/** Claims by the scope that asks for them. */
export const claimsByScope: Record<string, string[] | null> = {
  openid: ['sub', 'acr', 'amr', 'auth_time'],
  profile: ['preferred_username'],
  email: ['email', 'email_verified'],
  sid: null,
  iss: null,
};

/** All claims that are known of the account; oidc-provider leaves out what was not asked for or granted. */
export function accountClaims(account: Account): { sub: string; [claim: string]: unknown } {
  return {
    sub: account.id,
    preferred_username: account.username,
    ...(account.email === undefined ? {} : { email: account.email, email_verified: false }),
  };
}

/** The authentication context of every login here: a password proof and a second factor. */
export const mfaAcr = 'urn:cypher:acr:mfa';
