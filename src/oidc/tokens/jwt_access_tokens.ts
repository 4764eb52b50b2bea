/**
 * Access tokens as JWTs (RFC 9068), for APIs whose libraries know no PASETO. oidc-provider signs them; here is what it
 * lacks: the claims by which they are revoked, and the way back.
 */
import type { ValidateJwt } from '../library/models/id_token.ts';
import { currentScope } from '../library/request_scope.ts';
import type { OpenedClaims } from './token_claims.ts';

/** The one algorithm that every library of RFC 9068 must know (section 2.1). */
export const jwtAccessTokenAlg = 'RS256';

const longest = 8192;

/** A JWT at introspection or revocation is marked so that it reaches the models; no token of another form begins so. */
const mark = '.';
export const isMarkedJwt = (value: string): boolean => value.startsWith(`${mark}eyJ`);

/** The token with its mark where it is a JWT; anything else as it is. */
export const markJwt = (token: unknown): unknown =>
  typeof token === 'string' && /^eyJ[\w-]*\.[\w-]+\.[\w-]+$/.test(token) ? mark + token : token;

interface Signed {
  payload: Record<string, unknown>;
}

/** Adds what a revocation is looked up by. oidc-provider's `formats.customizers.jwt`. */
export function addRevocationClaims(
  _ctx: unknown,
  token: { grantId?: string | undefined; expiresWithSession?: boolean | undefined },
  { payload }: Signed,
): void {
  const with_session = token.expiresWithSession || undefined;
  Object.assign(payload, { grant: token.grantId, family: currentScope()?.family, with_session });
}

interface Opened {
  header: { typ?: string };
  payload: OpenedClaims;
}

export interface JwtDeps {
  validate: ValidateJwt;
  kindFor(audience: string | undefined): string;
  now: () => number;
}

/** Opens marked JWTs; like Tokens.open, undefined for whatever is no access token of ours. */
export function createJwtAccessTokens({ validate, kindFor, now }: JwtDeps) {
  return {
    async open(marked: string, { ignoreExpiration = false } = {}): Promise<OpenedClaims | undefined> {
      const jwt = marked.slice(mark.length);
      const audience = jwt.length <= longest ? audienceOf(jwt) : undefined;
      if (audience === undefined || kindFor(audience) !== 'jwt') return undefined;
      const expected = { idTokenSignedResponseAlg: jwtAccessTokenAlg, clientId: audience };
      const opened = await validate<Opened>(jwt, expected).catch(() => undefined);
      // An ID token is signed with the same keys; only `typ` tells it from an access token.
      if (opened?.header.typ !== 'at+jwt') return undefined;
      const { payload } = opened;
      if (!(now() / 1000 < payload.exp) && !ignoreExpiration) return undefined;
      return { ...payload, kind: payload.grant === undefined ? 'ClientCredentials' : 'AccessToken' };
    },
  };
}

/** What the token says of its audience, before it is known to be ours. */
function audienceOf(jwt: string): string | undefined {
  try {
    const { aud } = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as {
      aud?: unknown;
    };
    return typeof aud === 'string' ? aud : undefined;
  } catch {
    return undefined;
  }
}
