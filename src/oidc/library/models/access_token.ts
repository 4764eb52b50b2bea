/**
 * oidc-provider's AccessToken and ClientCredentials. The library has no hook for a token's form: here they leave as PASETO and
 * are stored nowhere.
 *
 * - `save` seals the token. The library has signed it already where its API takes JWTs.
 * - `find` opens it, then checks it against the revocations. A token for an API in one form is not taken in another one.
 * - `revokeByGrantId` ends a family or a grant. Destroying a token is a revocation.
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
  /** False for a client that was removed, or added later than at `issuedAt` (unix seconds): its tokens went with it. */
  isClient(id: string, issuedAt: number): Promise<boolean>;
  /** The form that an API takes; `access` where the token is for no API in particular. */
  kindFor(audience: string | undefined): TokenForm;
  pairwise: Pairwise;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** v4.local, v4.public, or a JWT for the libraries of others. */
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

/** Its text: nothing is stored when an access token is made. */
async function sealed(token: AccessTokenModel, deps: AccessTokenDeps): Promise<string> {
  token.jti ??= token.generateTokenId();
  const { value, payload } = await token.getValueAndPayload();
  token.emit('issued');
  // The library has signed it, if it is a JWT: then it has a value and no payload.
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

/** Opens and checks what may be an access token. */
function createOpener(provider: Provider, deps: AccessTokenDeps) {
  const { tokens, revocations, isClient, kindFor, now } = deps;
  const jwts = createJwtAccessTokens({ validate: jwtValidator(provider), kindFor, now });

  return {
    /** Undefined where it is no live token of this `kind`. `accountId`: whose it is, where it is somebody's. */
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

/** The library asks each model in turn whether a token is one of its own: it is opened once for all of them. */
function onceInRequest<T>(token: string, open: () => Promise<T>): Promise<T> {
  const scope = currentScope();
  if (!scope) return open();
  if (scope.opened?.token !== token) scope.opened = { token, opening: open() };
  return scope.opened.opening as Promise<T>;
}

interface Behind {
  /** Where `sub` is the account's name at a pairwise client, and no other one's. */
  accountId?: string | undefined;
  /** Where the token ends with it. */
  session?: string | undefined;
}

/** What a token that others can read does not say, and its grant knows. Undefined where the grant is gone. */
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
  // A refresh token's own `destroy` ends its family.
  else if (!scope?.entities.RefreshToken) await revocations.endFamily(family, 'revoked');
}

export const accessTokenAdapter = ({ revocations }: Pick<Stores, 'revocations'>): Partial<Adapter> => ({
  destroy(jti) {
    // With its family, at once: were the token ended first and the family then not, a repetition would find no token to
    // revoke and say that all is done.
    const family = currentScope()?.family;
    return family === undefined ? revocations.endToken(jti) : revocations.endFamily(family, 'revoked');
  },
});
