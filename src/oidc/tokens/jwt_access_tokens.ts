/**
 * Access tokens as JWTs (RFC 9068), for APIs whose libraries do not know PASETO. oidc-provider signs them. This file
 * adds the claims by which they can be revoked, and opens them at introspection and revocation.
 */
import type { ValidateJwt } from '../library/models/id_token.ts';
import { currentScope } from '../library/request_scope.ts';
import type { OpenedClaims } from './token_claims.ts';

/** RFC 9068 requires every implementation to support this algorithm (section 2.1). */
export const jwtAccessTokenAlg = 'RS256';

const longest = 8192;

/**
 * Put before a JWT at introspection and revocation, because the library would refuse it there. No token of another
 * form begins like this.
 */
const mark = '.';
/** Whether the text is a JWT with its mark. */
export const isMarkedJwt = (value: string): boolean => value.startsWith(`${mark}eyJ`);

/** Marks a JWT. Returns anything else unchanged. */
export const markJwt = (token: unknown): unknown =>
  typeof token === 'string' && /^eyJ[\w-]*\.[\w-]+\.[\w-]+$/.test(token) ? mark + token : token;

interface Signed {
  payload: Record<string, unknown>;
}

/** oidc-provider's `formats.customizers.jwt`: adds the claims by which revocations are looked up. */
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

/**
 * Opens marked JWTs. Like Tokens.open, it resolves with undefined if the text is no valid access token of this
 * server. `now`: milliseconds since the epoch.
 */
export function createJwtAccessTokens({ validate, kindFor, now }: JwtDeps) {
  return {
    async open(marked: string, { ignoreExpiration = false } = {}): Promise<OpenedClaims | undefined> {
      const jwt = marked.slice(mark.length);
      const audience = jwt.length <= longest ? audienceOf(jwt) : undefined;
      if (audience === undefined || kindFor(audience) !== 'jwt') return undefined;
      const expected = { idTokenSignedResponseAlg: jwtAccessTokenAlg, clientId: audience };
      const opened = await validate<Opened>(jwt, expected).catch(() => undefined);
      // ID tokens are signed with the same keys. Only `typ` distinguishes an access token from them.
      if (opened?.header.typ !== 'at+jwt') return undefined;
      const { payload } = opened;
      if (!(now() / 1000 < payload.exp) && !ignoreExpiration) return undefined;
      return { ...payload, kind: payload.grant === undefined ? 'ClientCredentials' : 'AccessToken' };
    },
  };
}

/** The audience that the token claims. The token is not verified yet. */
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
