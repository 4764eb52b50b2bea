/** Verifies logout tokens as a relying party must (OpenID Connect Back-Channel Logout 1.0, section 2.6). */
import { createRemoteJWKSet, jwtVerify } from 'jose';

const event = 'http://schemas.openid.net/event/backchannel-logout';

/** Returns the `sid` of the session that a token ends. Rejects if it is not a valid logout token for this app. */
export function createLogoutTokens(issuer: string, clientId: string, jwksUri: string) {
  const keys = createRemoteJWKSet(new URL(jwksUri));
  return async (token: string): Promise<string> => {
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience: clientId,
      typ: 'logout+jwt',
      requiredClaims: ['iat', 'exp', 'jti', 'sid', 'events'],
    });
    const { events, sid, nonce } = payload;
    if (typeof sid !== 'string' || nonce !== undefined || !Object.hasOwn(Object(events), event))
      throw new Error('this is no logout token');
    return sid;
  };
}
