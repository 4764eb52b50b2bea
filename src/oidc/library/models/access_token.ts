/**
 * Overrides of oidc-provider's AccessToken, ClientCredentials and AuthorizationCode models: the library has no hook for
 * a token's form. Access tokens leave as PASETO and are stored nowhere; coming back they are opened, then checked
 * against the revocations. test/http/provider_internals.test.ts breaks where a release calls these methods otherwise.
 */

import type Provider from 'oidc-provider';
import type { Client, Grant } from 'oidc-provider';
import ProviderClass from 'oidc-provider';
import { requestMemory } from '../../../lib/request_memory.ts';
import type { Revocations } from '../../../revocation/revocations.ts';
import type { Tokens } from '../../../tokens/tokens.ts';
import { isPairwise, type Pairwise } from '../../clients/pairwise.ts';
import {
  type AccessTokenPayload,
  audienceOf,
  fromClaims,
  type OpenedClaims,
  toClaims,
} from '../../tokens/token_claims.ts';
import { familyInQuestion, type InFamily, refreshTokenInQuestion } from '../family.ts';
import { createJwtAccessTokens, isMarkedJwt, letJwtsThrough } from '../jwt_access_tokens.ts';

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

/** v4.local, v4.public, or a JWT for the libraries of others (jwt_access_tokens.ts). */
export type TokenForm = 'access' | 'public' | 'jwt';

/** The methods of a model that are replaced or called here. */
interface AccessTokenModel extends InFamily {
  jti: string | undefined;
  client: Client | undefined;
  generateTokenId(): string;
  getValueAndPayload(): Promise<{ value: string; payload: AccessTokenPayload }>;
  emit(event: string): void;
  save(): Promise<string>;
}

interface AccessTokenClass {
  new (payload: object): AccessTokenModel;
  prototype: AccessTokenModel;
  find(value: unknown, options?: { ignoreExpiration?: boolean }): Promise<AccessTokenModel | undefined>;
  revokeByGrantId(grantId: string): Promise<void>;
}

/** Replaces `find`, `save` and `revokeByGrantId` of this provider instance's models. */
export function usePasetoAccessTokens(provider: Provider, deps: AccessTokenDeps): void {
  trustGrantOfCheckedToken(provider);
  override(provider, provider.AccessToken as unknown as AccessTokenClass, 'AccessToken', deps);
  override(provider, provider.ClientCredentials as unknown as AccessTokenClass, 'ClientCredentials', deps);
  overrideCodes(provider);
  letJwtsThrough(provider);
}

function override(provider: Provider, Model: AccessTokenClass, kind: string, deps: AccessTokenDeps): void {
  const { issuer, tokens, revocations, isClient, kindFor, pairwise } = deps;
  const jwts = createJwtAccessTokens(provider, deps);

  Model.prototype.save = async function () {
    this.jti ??= this.generateTokenId();
    const { value, payload } = await this.getValueAndPayload();
    this.emit('issued');
    // The library has signed it, if it is a JWT: then it has a value and no payload.
    if (payload === undefined) return value;
    const form = kindFor(payload.aud) === 'public' ? 'public' : 'access';
    const { client } = this;
    const subject =
      payload.accountId !== undefined && form === 'public' && client && isPairwise(client)
        ? pairwise(payload.accountId, client)
        : payload.accountId;
    const claims = toClaims(payload, issuer, familyInQuestion(), form, subject);
    return tokens.seal(form, claims, { issuedAt: payload.iat, expiresAt: payload.exp });
  };

  Model.find = async (value, options = {}) => {
    if (typeof value !== 'string') return undefined;
    const form = formOf(value);
    const claims = (await onceInRequest<object | undefined>(value, () =>
      form === 'jwt' ? jwts.open(value, options) : tokens.open(form, value, options),
    )) as OpenedClaims | undefined;
    // A token for an API in one form is not taken in the other one.
    if (claims?.kind !== kind || kindFor(audienceOf(claims)) !== form) return undefined;
    if (!(await isClient(claims.client_id, claims.iat))) return undefined;
    const behind = form === 'access' ? {} : await grantBehind(provider, claims);
    if (!behind || (await revocations.anyRevoked(revocations.subjectsOf({ ...claims, ...behind }))))
      return undefined;
    const accountId = behind.accountId ?? claims.sub;
    const token = filled(Model, fromClaims(claims, accountId));
    token.familyId = claims.family;
    rememberGrantOf(claims, accountId);
    return token;
  };

  Model.revokeByGrantId = async (grantId) => {
    const family = familyInQuestion();
    if (family === undefined) await revocations.endGrant(grantId, 'signed_out');
    else if (!refreshTokenInQuestion()) await revocations.endFamily(family, 'revoked');
  };
}

/** `new Model(payload)` for what is known to be a payload of it: the library's constructor picks it field by field, slowly. */
const filled = <M extends object>(Model: new (payload: object) => M, payload: object): M =>
  Object.assign(new Model({}), payload);

const formOf = (value: string): TokenForm =>
  value.startsWith('v4.public.') ? 'public' : isMarkedJwt(value) ? 'jwt' : 'access';

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
  const found = (await provider.Grant.find(grant)) as (Grant & { sessionUid?: string }) | undefined;
  if (!found) return undefined;
  return {
    accountId: isPairwise(await provider.Client.find(client_id)) ? found.accountId : undefined,
    session: with_session ? found.sessionUid : undefined,
  };
}

const openedTokens = requestMemory<{ token: string; opening: Promise<unknown> }>('opened token');

/** The library asks each model in turn whether a token is one of its own: it is opened once for all of them. */
function onceInRequest<T>(token: string, open: () => Promise<T>): Promise<T> {
  const ctx = ProviderClass.ctx;
  if (!ctx) return open();
  const last = openedTokens.get(ctx);
  if (last?.token === token) return last.opening as Promise<T>;
  const opening = open();
  openedTokens.set(ctx, { token, opening });
  return opening;
}

interface CheckedGrant {
  jti: string;
  clientId: string;
  accountId: string;
  iat: number;
  exp: number;
}

const checkedGrants = requestMemory<CheckedGrant>('checked grant');

function rememberGrantOf({ grant, client_id, iat, exp }: OpenedClaims, accountId: string | undefined): void {
  const ctx = ProviderClass.ctx;
  if (ctx?.oidc?.route !== 'introspection' || grant === undefined || accountId === undefined) return;
  checkedGrants.set(ctx, { jti: grant, clientId: client_id, accountId, iat, exp });
}

/**
 * Introspection reads a token's grant to learn that it has not ended. The revocations have just said so, and a grant
 * never ends without them, so what the token says of its grant stands in for the row.
 */
function trustGrantOfCheckedToken(provider: Provider): void {
  const Grant = provider.Grant as unknown as {
    new (payload: object): object;
    find(id: string, options?: object): Promise<object | undefined>;
  };
  const find = Grant.find.bind(Grant);
  Grant.find = async (id, options) => {
    const ctx = ProviderClass.ctx;
    const checked = ctx && checkedGrants.get(ctx);
    return checked?.jti === id ? filled(Grant, checked) : find(id, options);
  };
}

interface Code {
  accountId: string;
  sessionUid?: string;
  expiresWithSession?: boolean;
}

/** What tokens are first issued for. */
const codes = ['AuthorizationCode', 'DeviceCode', 'BackchannelAuthenticationRequest'] as const;

/**
 * A code: known to the request before it is used up, so that a replayed one names its family; and bound to its session,
 * but not, as the library has it, to the session's newest grant for the app: an app that is opened in two tabs at once
 * has two grants in one session, and both codes are good.
 */
function overrideCodes(provider: Provider): void {
  for (const name of codes) {
    const Codes = provider[name] as unknown as {
      find(value: string, options?: object): Promise<Code | undefined>;
    };
    const find = Codes.find.bind(Codes);
    Codes.find = async (value, options) => {
      const code = await find(value, { ...options, ignoreSessionBinding: true });
      if (!code) return undefined;
      if (code.expiresWithSession && code.sessionUid !== undefined) {
        const session = await provider.Session.findByUid(code.sessionUid);
        if (session?.accountId !== code.accountId) return undefined;
      }
      const ctx = ProviderClass.ctx;
      if (ctx?.oidc?.route === 'token') ctx.oidc.entity(name, code as never);
      return code;
    };
  }
}
