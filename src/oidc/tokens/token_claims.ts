/** How an access token's payload in oidc-provider reads as PASETO claims, and back. Pure. */

/** The payload of oidc-provider's AccessToken and ClientCredentials models, as far as it is carried. */
export interface AccessTokenPayload {
  kind: string;
  jti: string;
  iat: number;
  exp: number;
  clientId: string;
  accountId?: string;
  grantId?: string;
  sessionUid?: string;
  expiresWithSession?: boolean;
  aud?: string;
  scope?: string;
  sid?: string;
  gty?: string;
  jkt?: string;
  'x5t#S256'?: string;
  claims?: { userinfo?: object };
  rar?: object[];
  extra?: object;
}

/** What a token is bound to (RFC 7800, section 3.1). */
interface Confirmation {
  jkt?: string;
  'x5t#S256'?: string;
}

export interface AccessClaims {
  kind: string;
  jti: string;
  client_id: string;
  aud: string;
  sub?: string;
  scope?: string;
  sid?: string;
  grant?: string;
  family?: string;
  session?: string;
  with_session?: true;
  gty?: string;
  cnf?: Confirmation;
  claims?: { userinfo?: object };
  authorization_details?: object[];
  extra?: object;
}

/** What is said in a token and is not in its payload. */
interface TokenContext {
  issuer: string;
  family: string | undefined;
  kind: 'access' | 'public';
  /** The account, or its name at a pairwise client; undefined for a client's own token. */
  subject: string | undefined;
}

/**
 * The claims of a token. A token for no particular API is for the issuer itself (userinfo), which alone reads what the
 * `claims` parameter asked of it. The session is named where the token ends with it, but not in a `public` token: it
 * would tell APIs which of a person's apps belong together. That one says no more than that there is a session; its grant
 * knows which.
 */
export function toClaims(
  payload: AccessTokenPayload,
  { issuer, family, kind, subject }: TokenContext,
): AccessClaims {
  const cnf = { jkt: payload.jkt, 'x5t#S256': payload['x5t#S256'] };
  return withoutUndefined<AccessClaims>({
    kind: payload.kind,
    jti: payload.jti,
    client_id: payload.clientId,
    aud: payload.aud ?? issuer,
    sub: subject ?? payload.clientId,
    scope: payload.scope,
    sid: payload.sid,
    grant: payload.grantId,
    family,
    session: payload.expiresWithSession && kind === 'access' ? payload.sessionUid : undefined,
    with_session: payload.expiresWithSession && kind === 'public' ? true : undefined,
    gty: payload.gty,
    cnf: cnf.jkt || cnf['x5t#S256'] ? withoutUndefined<Confirmation>(cnf) : undefined,
    claims:
      payload.aud === undefined && payload.claims?.userinfo
        ? { userinfo: payload.claims.userinfo }
        : undefined,
    authorization_details: payload.rar,
    extra: payload.extra,
  });
}

/** The claims of a token that this server made; times are unix seconds. */
export type OpenedClaims = AccessClaims & { iss: string; iat: number; exp: number };

/** The payload that an opened token stands for; `accountId` is given where `sub` is the account's name at a client. */
export function fromClaims(
  claims: OpenedClaims,
  accountId: string | undefined = claims.sub,
): AccessTokenPayload {
  return withoutUndefined<AccessTokenPayload>({
    kind: claims.kind,
    jti: claims.jti,
    iat: claims.iat,
    exp: claims.exp,
    clientId: claims.client_id,
    accountId: claims.kind === 'ClientCredentials' ? undefined : accountId,
    grantId: claims.grant,
    aud: audienceOf(claims),
    scope: claims.scope,
    sid: claims.sid,
    gty: claims.gty,
    jkt: claims.cnf?.jkt,
    'x5t#S256': claims.cnf?.['x5t#S256'],
    claims: claims.claims,
    rar: claims.authorization_details,
    extra: claims.extra,
  });
}

/** A loop: every token goes through here. */
function withoutUndefined<T extends object>(object: { [Name in keyof T]: T[Name] | undefined }): T {
  const defined = {} as T;
  for (const name in object) {
    const value = object[name];
    if (value !== undefined) defined[name] = value as T[typeof name];
  }
  return defined;
}

/** The API that a token is for; none where it is for the issuer itself. */
export const audienceOf = ({ aud, iss }: { aud: string; iss: string }): string | undefined =>
  aud === iss ? undefined : aud;
