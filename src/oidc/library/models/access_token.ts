/**
 * oidc-provider's AccessToken and ClientCredentials. The library has no hook for the form of a token. Here they are
 * issued as PASETO, or as JWTs where an API wants that, and they are not stored.
 *
 * - `save` seals the token. If its API takes JWTs, the library has already signed it.
 * - `find` opens a token, then checks the revocations. A token must have the form that its API is declared with.
 * - `revokeByGrantId` ends a family or a grant. To destroy a token is to revoke it.
 */

import type Provider from 'oidc-provider';
import type { Adapter, Client } from 'oidc-provider';
import type { Revocations } from '../../../revocation/revocations.ts';
import type { Tokens } from '../../../tokens/tokens.ts';
import { isPairwise, type Pairwise } from '../../clients/pairwise.ts';
import { createJwtAccessTokens, isMarkedJwt } from '../../tokens/jwt_access_tokens.ts';
import {
  type AccessTokenPayload,
  audienceOf,
  fromClaims,
  type OpenedClaims,
  toClaims,
} from '../../tokens/token_claims.ts';
import { currentScope, type InFamily } from '../request_scope.ts';
import type { Stores } from '../stores.ts';
import { type GrantInSession, rememberGrantOf } from './grant.ts';
import { jwtValidator } from './id_token.ts';
import { filled, modelOf } from './model.ts';

export interface AccessTokenDeps {
  issuer: string;
  tokens: Pick<Tokens, 'seal' | 'open'>;
  revocations: Revocations;
  /**
   * Whether the client exists and was added before `issuedAt` (unix seconds). So the tokens of a removed client stay
   * invalid even if a new client gets its id.
   */
  isClient(id: string, issuedAt: number): Promise<boolean>;
  /** The token form that an API takes. It is `access` if the token is for no particular API. */
  kindFor(audience: string | undefined): TokenForm;
  pairwise: Pairwise;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** `access` is PASETO v4.local, and `public` is v4.public. `jwt` is for APIs whose libraries do not know PASETO. */
export type TokenForm = 'access' | 'public' | 'jwt';

interface AccessTokenModel extends InFamily {
  jti: string | undefined;
  client: Client | undefined;
  generateTokenId(): string;
  getValueAndPayload(): Promise<{ value: string; payload: AccessTokenPayload | undefined }>;
  emit(event: string): void;
  save(): Promise<string>;
}

interface AccessTokenClass {
  new (payload: object): AccessTokenModel;
  prototype: AccessTokenModel;
  find(value: unknown, options?: FindOptions): Promise<AccessTokenModel | undefined>;
  revokeByGrantId(grantId: string): Promise<void>;
}

interface FindOptions {
  ignoreExpiration?: boolean;
}

/** Replaces the methods of both models on this provider. */
export function overrideAccessTokens(provider: Provider, deps: AccessTokenDeps): void {
  const opener = createOpener(provider, deps);
  for (const kind of ['AccessToken', 'ClientCredentials'] as const) {
    const Model = modelOf<AccessTokenClass>(provider, kind);
    Model.prototype.save = function () {
      return sealed(this, deps);
    };
    Model.find = async (value, options = {}) => {
      const opened = await opener.open(kind, value, options);
      if (!opened) return undefined;
      const { claims, accountId } = opened;
      const token = filled(Model, fromClaims(claims, accountId));
      token.familyId = claims.family;
      rememberGrantOf(claims, accountId);
      return token;
    };
    Model.revokeByGrantId = (grantId) => endGrant(grantId, deps);
  }
}

/** Resolves with the token's text. Nothing is stored. */
async function sealed(token: AccessTokenModel, deps: AccessTokenDeps): Promise<string> {
  token.jti ??= token.generateTokenId();
  const { value, payload } = await token.getValueAndPayload();
  token.emit('issued');
  // For a JWT, the library returns the signed value and no payload.
  if (payload === undefined) return value;
  const { client } = token;
  const form = deps.kindFor(payload.aud) === 'public' ? 'public' : 'access';
  const subject =
    payload.accountId !== undefined && form === 'public' && client && isPairwise(client)
      ? deps.pairwise(payload.accountId, client)
      : payload.accountId;
  const { issuer } = deps;
  const claims = toClaims(payload, { issuer, family: currentScope()?.family, kind: form, subject });
  return deps.tokens.seal(form, claims, { issuedAt: payload.iat, expiresAt: payload.exp });
}

const formOf = (value: string): TokenForm =>
  value.startsWith('v4.public.') ? 'public' : isMarkedJwt(value) ? 'jwt' : 'access';

/** Opens presented access tokens and checks whether they are valid. */
function createOpener(provider: Provider, deps: AccessTokenDeps) {
  const { tokens, revocations, isClient, kindFor, now } = deps;
  const jwts = createJwtAccessTokens({ validate: jwtValidator(provider), kindFor, now });

  return {
    /**
     * Resolves with the claims of a valid token of this `kind` and the account that they are about, or with
     * undefined. Throws AppError 503 if the revocations cannot be read.
     */
    async open(kind: string, value: unknown, options: FindOptions) {
      if (typeof value !== 'string') return undefined;
      const form = formOf(value);
      const claims = (await onceInRequest<object | undefined>(value, () =>
        form === 'jwt' ? jwts.open(value, options) : tokens.open(form, value, options),
      )) as OpenedClaims | undefined;
      if (claims?.kind !== kind || kindFor(audienceOf(claims)) !== form) return undefined;
      if (!(await isClient(claims.client_id, claims.iat))) return undefined;
      const behind = form === 'access' ? {} : await grantBehind(provider, claims);
      if (!behind || (await revocations.anyRevoked(revocations.subjectsOf({ ...claims, ...behind }))))
        return undefined;
      return { claims, accountId: behind.accountId ?? claims.sub };
    },
  };
}

/** Opens a token once per request. The library asks several models for the same token. */
function onceInRequest<T>(token: string, open: () => Promise<T>): Promise<T> {
  const scope = currentScope();
  if (!scope) return open();
  if (scope.opened?.token !== token) scope.opened = { token, opening: open() };
  return scope.opened.opening as Promise<T>;
}

interface Behind {
  /** The account's id, if the client is pairwise. Then the token's `sub` is a pairwise subject. */
  accountId?: string | undefined;
  /** The session's uid, if the token ends with its session. */
  session?: string | undefined;
}

/**
 * Reads from the grant what a token that APIs can read does not contain: its account and session. Undefined if the
 * grant is gone.
 */
async function grantBehind(
  provider: Provider,
  { grant, client_id, with_session }: OpenedClaims,
): Promise<Behind | undefined> {
  if (grant === undefined) return {};
  const found: GrantInSession | undefined = await provider.Grant.find(grant);
  if (!found) return undefined;
  return {
    accountId: isPairwise(await provider.Client.find(client_id)) ? found.accountId : undefined,
    session: with_session ? found.sessionUid : undefined,
  };
}

async function endGrant(
  grantId: string,
  { revocations }: Pick<AccessTokenDeps, 'revocations'>,
): Promise<void> {
  const scope = currentScope();
  const family = scope?.family;
  if (family === undefined) await revocations.endGrant(grantId, 'signed_out');
  // If a refresh token is revoked, its own `destroy` ends the family.
  else if (!scope?.entities.RefreshToken) await revocations.endFamily(family, 'revoked');
}

/** The adapter only revokes, because access tokens are not stored. */
export const accessTokenAdapter = ({ revocations }: Pick<Stores, 'revocations'>): Partial<Adapter> => ({
  destroy(jti) {
    // End the token by ending its family, in one statement. With two statements, the second could fail. The client's
    // next attempt would then find no valid token to revoke, and would be answered with success.
    const family = currentScope()?.family;
    return family === undefined ? revocations.endToken(jti) : revocations.endFamily(family, 'revoked');
  },
});
