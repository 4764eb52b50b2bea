/** What a valid token says, and the checks of its claims that are the same for both ways to verify it. Pure. */
import { Refused } from './refusal.ts';

/** A verified access token. Times are unix seconds. */
export interface Access {
  /** The person. For a token that an app obtained for itself: the app. */
  sub: string;
  /** The app that the token was issued to. */
  clientId: string;
  scopes: readonly string[];
  audience: string;
  expiresAt: number;
  /** The RFC 7638 thumbprint of the key that the token is bound to. Undefined for a token that is not bound. */
  boundTo: string | undefined;
  /** All claims of the token, or the whole answer of the introspection. */
  claims: Readonly<Record<string, unknown>>;
}

export interface Expected {
  issuer: string;
  audience: string;
  /** How much the issuer's clock and this one may differ. */
  toleranceSeconds: number;
  nowSeconds: number;
}

/**
 * Checks the claims and returns what they say. `iat` and `exp` are unix seconds, or NaN if the token has none. Throws
 * Refused.
 */
export function accessOf(
  claims: Record<string, unknown>,
  { iat, exp }: { iat: number; exp: number },
  { issuer, audience, toleranceSeconds, nowSeconds }: Expected,
): Access {
  const { iss, aud, sub, client_id, scope, cnf } = claims;
  const audiences = Array.isArray(aud) ? aud : [aud];
  if (iss !== issuer || !audiences.includes(audience)) throw new Refused('token_foreign');
  if (typeof sub !== 'string' || typeof client_id !== 'string') throw new Refused('token_malformed');
  if (scope !== undefined && typeof scope !== 'string') throw new Refused('token_malformed');
  // Written so that NaN is refused.
  if (!(nowSeconds < exp + toleranceSeconds)) throw new Refused('token_expired');
  if (!(iat <= nowSeconds + toleranceSeconds)) throw new Refused('token_from_the_future');
  return {
    sub,
    clientId: client_id,
    scopes: scope?.split(' ').filter(Boolean) ?? [],
    audience,
    expiresAt: exp,
    boundTo: boundTo(cnf),
    claims,
  };
}

/** A token that is bound in a way unknown here must not count as one that is not bound (RFC 7800, section 3.1). */
function boundTo(cnf: unknown): string | undefined {
  if (cnf === undefined) return undefined;
  const { jkt, ...others } = cnf as { jkt?: unknown };
  if (typeof jkt !== 'string' || Object.keys(others).length > 0) throw new Refused('token_malformed');
  return jkt;
}
