/** The claims about an account in ID tokens and at userinfo, by scope (OpenID Connect Core, section 5.4). Pure. */
import { errors, type KoaContextWithOIDC } from 'oidc-provider';

import type { Holder } from '../library/read_ahead.ts';

/** Claims by the scope that requests them. */
export const claimsByScope: Record<string, string[] | null> = {
  openid: ['sub', 'acr', 'amr', 'auth_time'],
  profile: ['preferred_username'],
  email: ['email', 'email_verified'],
  sid: null,
  iss: null,
};

/** All known claims of the account. oidc-provider leaves out those that were not requested or not granted. */
export function accountClaims(account: Holder): { sub: string; [claim: string]: unknown } {
  return {
    sub: account.id,
    preferred_username: account.username,
    ...(account.email === undefined ? {} : { email: account.email, email_verified: false }),
  };
}

/** The authentication context class (`acr`) of every login here: a password proof and a second factor. */
export const mfaAcr = 'urn:cypher:acr:mfa';

/**
 * Bounds the `claims` parameter, which is copied into tokens and rows. All claims that exist fit in far fewer bytes.
 */
const mostClaimsBytes = 1000;

/** Checks the `claims` parameter after the library has parsed it. Throws InvalidRequest. */
export function checkClaimsParameter(
  ctx: KoaContextWithOIDC,
  claims: { userinfo?: object | undefined; id_token?: object | undefined },
): void {
  if (Buffer.byteLength(String(ctx.oidc.params?.claims)) > mostClaimsBytes)
    throw new errors.InvalidRequest(`claims is longer than ${mostClaimsBytes} bytes`);
  for (const value of Object.values({ ...claims.userinfo, ...claims.id_token }))
    if (value !== null && (typeof value !== 'object' || Array.isArray(value)))
      throw new errors.InvalidRequest('claims must ask by null or an object');
}

/** The scope that lets an app see a claim, or the claim's own name if no scope does. */
export const scopeOfClaim = (claim: string): string =>
  Object.entries(claimsByScope).find(([, claims]) => claims?.includes(claim))?.[0] ?? claim;
