/** Converts the payload of oidc-provider's access tokens to PASETO claims and back. Pure. */

/** The fields of oidc-provider's AccessToken and ClientCredentials that a token contains. Times are unix seconds. */
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

/** The key and the certificate that a token is bound to (RFC 7800, section 3.1). */
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

/** Values of a token that its payload does not have. */
interface TokenContext {
  issuer: string;
  family: string | undefined;
  kind: 'access' | 'public';
  /** The account's id, or its pairwise subject. Undefined for a client credentials token. */
  subject: string | undefined;
}

/**
 * The claims of a token. A token for no particular API is for the issuer itself (userinfo). Only such a token
 * contains the requested userinfo claims. A token that ends with its session names that session. But APIs can read a
 * `public` token, and could use the session to link a person's apps. So that one only says that there is a session,
 * and its grant knows which.
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

/** The claims of an opened token of this server. Times are unix seconds. */
export type OpenedClaims = AccessClaims & { iss: string; iat: number; exp: number };

/** The payload of an opened token. Pass `accountId` if `sub` is a pairwise subject. */
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

/** Removes undefined fields. It is a plain loop for speed, because it runs for every token. */
function withoutUndefined<T extends object>(object: { [Name in keyof T]: T[Name] | undefined }): T {
  const defined = {} as T;
  for (const name in object) {
    const value = object[name];
    if (value !== undefined) defined[name] = value as T[typeof name];
  }
  return defined;
}

/** The API that a token is for. Undefined if it is for the issuer itself. */
export const audienceOf = ({ aud, iss }: { aud: string; iss: string }): string | undefined =>
  aud === iss ? undefined : aud;
