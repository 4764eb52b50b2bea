/**
 * Checks of the JWTs that clients sign: client assertions (RFC 7523), DPoP proofs (RFC 9449) and request objects (RFC
 * 9101). oidc-provider verifies the signature and that the JWT has not expired. This file limits how far in the
 * future its times may be. Otherwise a JWT could be valid for years, and would have to be remembered for years to
 * detect a replay.
 */
import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import { errors } from 'oidc-provider';
import { lifeSeconds } from '../../lifetimes.ts';

interface Claims {
  aud?: unknown;
  exp?: unknown;
  nbf?: unknown;
  iat?: unknown;
  jti?: unknown;
}

type Check = (ctx: KoaContextWithOIDC, claims: Claims, header: object, client: Client) => Promise<void>;

/** FAPI 2.0 security profile, section 5.3.2.1, item 13: a JWT from more than a minute in the future is refused. */
const mostAheadSeconds = 60;

/** Whether `iat` or `nbf` of a FAPI client's JWT is too far ahead of `nowSeconds`. For other clients always false. */
export const isTooFarAhead = (
  { iat, nbf }: Claims,
  client: Client | undefined,
  nowSeconds: number,
): boolean =>
  client?.fapi !== undefined && [iat, nbf].some((time) => Number(time ?? 0) > nowSeconds + mostAheadSeconds);

/**
 * oidc-provider's hooks for client assertions and request objects. `assertion` throws InvalidClientAuth,
 * `requestObject` throws InvalidRequestObject. `now`: milliseconds since the epoch.
 */
export function signedClaims(now: () => number): { assertion: Check; requestObject: Check } {
  const seconds = () => Math.floor(now() / 1000);
  return {
    async assertion(ctx, claims, _header, client) {
      if (Number(claims.exp) > seconds() + lifeSeconds.clientAssertion)
        throw new errors.InvalidClientAuth(
          `exp of a client_assertion must be within ${lifeSeconds.clientAssertion} seconds`,
        );
      if (isTooFarAhead(claims, client, seconds()))
        throw new errors.InvalidClientAuth('iat and nbf must not be ahead by more than a minute');
      // FAPI 2.0, section 5.3.2.1, item 8. FAPI-CIBA allows endpoint addresses as audiences too.
      if (client.fapi !== undefined && client.fapi !== 'ciba' && claims.aud !== ctx.oidc.issuer)
        throw new errors.InvalidClientAuth('audience (aud) must equal the issuer identifier url');
    },
    async requestObject({ oidc: { route } }, claims, _header, client) {
      const isCiba = route === 'backchannel_authentication';
      const required = [
        ...(client.fapi === undefined ? [] : (['exp', 'aud', 'nbf'] as const)),
        // CIBA Core, section 7.1.1.
        ...(isCiba ? (['exp', 'iat', 'nbf', 'jti'] as const) : []),
      ];
      const missing = required.find((name) => claims[name] === undefined);
      if (missing) throw new errors.InvalidRequestObject(`Request Object is missing the '${missing}' claim`);
      if (required.length === 0) return;
      const life = Number(claims.exp) - Number(claims.nbf);
      if (!(life > 0 && life <= lifeSeconds.requestObject))
        throw new errors.InvalidRequestObject("Request Object 'exp' claim too far from 'nbf' claim");
      if (isTooFarAhead(claims, client, seconds()))
        throw new errors.InvalidRequestObject('iat and nbf must not be ahead by more than a minute');
    },
  };
}
