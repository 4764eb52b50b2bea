/**
 * The refresh grant (RFC 6749, section 6), from the request to the rotation. It replaces the library's grant, which
 * marks a token as used in the middle of its checks and knows only used and unused tokens. Here all checks come
 * first. Then the token's state (refresh/states.ts) decides. The rotation is the last step, so a refused request does
 * not use the token.
 */
import { hash, type X509Certificate } from 'node:crypto';
import type Provider from 'oidc-provider';
import { type Account, errors, type Grant, type TokenEndpointGrantContext } from 'oidc-provider';
// The library offers these helpers to custom grants, but may change them in any release.
import * as helpers from 'oidc-provider/lib/helpers/grants.js';
import { idTokenAtRefresh } from '../../clients/policy.ts';
import {
  endReused,
  findRefreshToken,
  type PresentedRefreshToken,
  payloadOf,
  type RefreshDeps,
  type RefreshPayload,
  repetitionsOf,
  sealRefreshToken,
} from '../../tokens/refresh_tokens.ts';
import { refreshTokenSeconds } from '../configuration/ttl.ts';
import { issueIdToken } from '../models/id_token.ts';
import { filled, modelOf } from '../models/model.ts';
import type { Bound, InFamily } from '../request_scope.ts';

export interface RefreshGrantDeps extends RefreshDeps {
  /** The client certificate of a request, if it has one. */
  certificateOf(ctx: Context): X509Certificate | undefined;
  /** Milliseconds since the epoch. */
  now: () => number;
}

const gty = 'refresh_token';

type Context = TokenEndpointGrantContext;
type Token = RefreshPayload & InFamily & helpers.ResourceGrantSource & helpers.AuthorizationDetailsSource;

/** Registers this grant with the provider, in place of the library's. */
export function registerRefreshGrant(provider: Provider, deps: RefreshGrantDeps): void {
  const parameters = [gty, 'scope', 'resource', 'authorization_details'];
  provider.registerGrantType(gty, (ctx) => answer(provider, deps, ctx), parameters, ['resource']);
}

async function answer(provider: Provider, deps: RefreshGrantDeps, ctx: Context): Promise<void> {
  const { oidc } = ctx;
  const proof = await helpers.validateDpop(provider, ctx);
  const presented = await readPresented(deps, ctx);
  const token = tokenOf(provider, presented);

  // Is this the client that the token is bound to, and does its grant still exist?
  const certificate = checkBinding(provider, deps, ctx, { token, proof });
  const grant = await helpers.validateGrant(provider, ctx, token.grantId);
  const scopes = requestedScopes(ctx, token);
  await helpers.checkDpopReplay(provider, ctx, proof, oidc.client.clientId);
  oidc.entity('RefreshToken', token);
  oidc.entity('Grant', grant);
  oidc.entity('Account', await accountOf(provider, ctx, token, grant));

  if (presented.state === 'reuse') return refuseReused(deps, presented);

  const payload = successorPayload(presented, deps.now);
  const accessToken = new provider.AccessToken({
    accountId: token.accountId,
    client: oidc.client,
    expiresWithSession: token.expiresWithSession,
    grantId: token.grantId,
    gty: payload.gty,
    sessionUid: token.sessionUid,
    sid: token.sid,
  });
  if (certificate) accessToken.setThumbprint('x5t', certificate);
  if (proof) accessToken.setThumbprint('jkt', proof.thumbprint);
  await helpers.resolveAndApplyResource(provider, ctx, token, accessToken, grant, scopes);
  await helpers.applyAuthorizationDetails(provider, ctx, accessToken, token);
  oidc.entity('AccessToken', accessToken);

  ctx.body = helpers.buildTokenResponse(provider, {
    accessToken: await accessToken.save(),
    authorizationDetails: accessToken.rar,
    expiresIn: accessToken.expiration,
    idToken: idTokenAtRefresh(oidc.client)
      ? await issueIdToken(provider, ctx, token, accessToken, grant, scopes)
      : undefined,
    scope: accessToken.scope,
    tokenType: accessToken.tokenType,
    // This must be the last step: after it, nothing may refuse the request.
    refreshToken: await rotate(deps, ctx, presented, payload),
  });
}

/** The library's model of the presented token, because its helpers expect one. */
function tokenOf(provider: Provider, { tokenId, familyId, payload }: PresentedRefreshToken): Token {
  const token = filled(modelOf<new (payload: object) => Token>(provider, 'RefreshToken'), payload);
  return Object.assign(token, { jti: tokenId, familyId });
}

/**
 * Reads the presented refresh token. Throws InvalidRequest if the parameter is missing. Throws InvalidGrant if the
 * token is unknown, ended or expired, or belongs to another client.
 */
async function readPresented(deps: RefreshGrantDeps, { oidc }: Context): Promise<PresentedRefreshToken> {
  const text = oidc.params.refresh_token;
  if (text === undefined) throw new errors.InvalidRequest("missing required parameter 'refresh_token'");
  const presented = await findRefreshToken(deps, text, repetitionsOf(oidc.client));
  if (!presented) throw new errors.InvalidGrant('refresh token not found');
  if (presented.payload.clientId !== oidc.client.clientId) throw new errors.InvalidGrant('client mismatch');
  return presented;
}

/**
 * Checks that the request has the certificate and the DPoP key that the token is bound to. Returns the certificate
 * that the access token must be bound to, if any. Throws InvalidGrant if one is missing or differs.
 */
function checkBinding(
  provider: Provider,
  { certificateOf }: RefreshGrantDeps,
  ctx: Context,
  { token, proof }: { token: Bound; proof: helpers.DPoPValidationResult | undefined },
): X509Certificate | undefined {
  const expected = token['x5t#S256'];
  const isBound = ctx.oidc.client.tlsClientCertificateBoundAccessTokens || expected !== undefined;
  const certificate = isBound ? certificateOf(ctx) : undefined;
  if (isBound && !certificate) throw new errors.InvalidGrant('mutual TLS client certificate not provided');
  helpers.checkDpopRequired(provider, ctx, proof);
  if (expected !== undefined && expected !== (certificate && hash('sha256', certificate.raw, 'base64url')))
    throw new errors.InvalidGrant('failed x5t#S256 verification');
  if (token.jkt !== undefined && token.jkt !== proof?.thumbprint)
    throw new errors.InvalidGrant('failed jkt verification');
  return certificate;
}

/** Throws InvalidGrant if the account is gone or not the grant's, or was signed out everywhere since the login. */
async function accountOf(provider: Provider, ctx: Context, token: Token, grant: Grant): Promise<Account> {
  const account = await helpers.findAccount(provider, ctx, token.accountId, token);
  if (!account) throw new errors.InvalidGrant('refresh token invalid (referenced account not found)');
  if (token.accountId !== grant.accountId) throw new errors.InvalidGrant('accountId mismatch');
  return account;
}

/**
 * The requested scopes, or all scopes of the token if none were requested. Throws InvalidScope if one was not
 * granted.
 */
function requestedScopes({ oidc }: Context, { scopes }: { scopes: Set<string> }): Set<string> {
  if (!oidc.params.scope) return scopes;
  const missing = [...oidc.requestParamScopes].filter((scope) => !scopes.has(scope));
  if (missing.length > 0)
    throw new errors.InvalidScope('refresh token missing requested scope', missing.join(' '));
  return oidc.requestParamScopes;
}

/** The payload of the successor. */
function successorPayload({ stored, payload, generation = 0 }: PresentedRefreshToken, now: () => number) {
  const issuedAt = Math.floor(now() / 1000) * 1000;
  return payloadOf({
    ...stored,
    generation: Math.max(stored.generation, generation) + 1,
    issuedAt,
    expiresAt: issuedAt + refreshTokenSeconds(payload.iiat, now) * 1000,
  });
}

/** The text of the successor. Its payload is `payload`, or the one that an earlier request has already stored. */
async function rotate(
  deps: RefreshGrantDeps,
  ctx: Context,
  presented: PresentedRefreshToken,
  payload: RefreshPayload,
): Promise<string> {
  const times = { issuedAt: payload.iat * 1000, expiresAt: payload.exp * 1000 };
  const rotated = await deps.refresh.rotate(presented, times);
  const kept = rotated ? payload : await keptSuccessor(deps, ctx, presented);
  deps.onRefresh(rotated ? 'rotated' : 'repeated');
  const { familyId, tokenId } = presented;
  return sealRefreshToken(deps.tokens, {
    tokenId: deps.refresh.successorOf(tokenId),
    familyId,
    payload: kept,
  });
}

/**
 * The stored successor of a token that was used before. The same table of states decides whether this is a retry.
 * Throws InvalidGrant if it is not. If it is a reuse, the family ends.
 */
async function keptSuccessor(
  deps: RefreshGrantDeps,
  { oidc }: Context,
  presented: PresentedRefreshToken,
): Promise<RefreshPayload> {
  const stored = await deps.refresh.read(presented, repetitionsOf(oidc.client));
  if (stored?.state === 'retry') return payloadOf(stored);
  if (stored?.state === 'reuse') return refuseReused(deps, presented);
  throw alreadyUsed();
}

async function refuseReused(
  deps: RefreshGrantDeps,
  { familyId, payload }: PresentedRefreshToken,
): Promise<never> {
  await endReused(deps, { familyId, clientId: payload.clientId, accountId: payload.accountId });
  throw alreadyUsed();
}

const alreadyUsed = () => new errors.InvalidGrant('refresh token already used');
