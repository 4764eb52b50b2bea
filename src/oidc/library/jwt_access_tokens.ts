/**
 * Access tokens as JWTs (RFC 9068), for APIs whose libraries know no PASETO. oidc-provider signs them; here is what it
 * lacks: the claims by which they are revoked, and the way back. Overrides OIDCContext.entity, because the library refuses
 * every JWT at introspection and revocation; test/http/provider_internals.test.ts breaks where a release does otherwise.
 */
import type Provider from 'oidc-provider';
import type { OpenedClaims } from '../tokens/token_claims.ts';
import { familyInQuestion } from './family.ts';

/** The one algorithm that every library of RFC 9068 must know (section 2.1). */
export const jwtAccessTokenAlg = 'RS256';

const longest = 8192;

/** A JWT at introspection or revocation is marked so that it reaches the models; no token of another form begins so. */
const mark = '.';
export const isMarkedJwt = (value: string): boolean => value.startsWith(`${mark}eyJ`);

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
  Object.assign(payload, { grant: token.grantId, family: familyInQuestion(), with_session });
}

/** Marks JWTs at the endpoints that take tokens of every form. */
export function letJwtsThrough(provider: Provider): void {
  const { prototype } = provider.OIDCContext as unknown as {
    prototype: { route: string; params: { token?: unknown }; entity(key: string, value: unknown): void };
  };
  const entity = prototype.entity;
  // Called with the client once it is known, and before the token is looked at.
  prototype.entity = function (key, value) {
    const { token } = this.params ?? {};
    if (key === 'Client' && ['introspection', 'revocation'].includes(this.route))
      if (typeof token === 'string' && /^eyJ[\w-]*\.[\w-]+\.[\w-]+$/.test(token))
        this.params.token = mark + token;
    entity.call(this, key, value);
  };
}

export interface JwtDeps {
  kindFor(audience: string | undefined): string;
  now: () => number;
}

/** Opens marked JWTs; like Tokens.open, undefined for whatever is no access token of ours. */
export function createJwtAccessTokens(provider: Provider, { kindFor, now }: JwtDeps) {
  const { IdToken } = provider as unknown as {
    /** Checks signature and issuer, with the published keys; rejects where they are wrong. */
    IdToken: {
      validate(jwt: string, expected: object): Promise<{ header: { typ?: string }; payload: OpenedClaims }>;
    };
  };
  return {
    async open(marked: string, { ignoreExpiration = false } = {}): Promise<OpenedClaims | undefined> {
      const jwt = marked.slice(mark.length);
      const audience = jwt.length <= longest ? audienceOf(jwt) : undefined;
      if (audience === undefined || kindFor(audience) !== 'jwt') return undefined;
      const expected = { idTokenSignedResponseAlg: jwtAccessTokenAlg, clientId: audience };
      const opened = await IdToken.validate(jwt, expected).catch(() => undefined);
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
