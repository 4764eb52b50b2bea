/**
 * oidc-provider, built: configuration, PASETO tokens, session cookie. The rest of the server sees the functions returned
 * here and mounts the middleware; what an interaction is to the library stays in interactions.ts.
 */
import type { Middleware } from 'koa';
import compose from 'koa-compose';
import Provider, { type errors, type JWK, type KoaContextWithOIDC } from 'oidc-provider';
import type { Resource } from '../../config/schema.ts';
import type { Outgoing } from '../../http/outgoing.ts';
import type { CookieSignatures } from '../../lib/cookie_signatures.ts';
import { cookieNames } from '../../lib/cookies.ts';
import type { Log } from '../../lib/log.ts';
import { lifeSeconds } from '../../lifetimes.ts';
import type { RefreshStore } from '../../refresh/store.ts';
import type { Revocations } from '../../revocation/revocations.ts';
import type { Query } from '../../storage/database.ts';
import type { Statement } from '../../storage/statement.ts';
import type { Tokens } from '../../tokens/tokens.ts';
import { tellSecretOnce } from '../clients/registration.ts';
import { slowDownPolls } from '../polled/polling.ts';
import { completeError, sentWith } from '../requests/error_reports.ts';
import { createWarnings } from '../requests/ignored.ts';
import { takePostedRequests } from '../requests/posted_requests.ts';
import { takeRequestUris } from '../requests/request_uris.ts';
import { type BrowserBinding, bindToBrowser } from '../session/browser_binding.ts';
import { createSessionCookie } from '../session/session_cookie.ts';
import { dropOldHints, moveOnAfterSignOut } from '../session/sign_out.ts';
import { completeAnswers } from './answers.ts';
import { changedSteps, togetherChanged } from './changed_steps.ts';
import { createClientFetch, type FetchDeps, refusedToAsk } from './client_fetches.ts';
import { type ConfigurationDeps, providerConfiguration } from './configuration.ts';
import { withLeanRoutes } from './lean_routes.ts';
import { replaceKeys } from './live_keys.ts';
import { type TokenForm, usePasetoAccessTokens } from './models/access_token.ts';
import { type SendLogout, takeOverBackchannelLogout } from './models/backchannel_logout.ts';
import { addClientClaims } from './models/claims.ts';
import { type ClientModelDeps, keepScopes, serveRegisteredClients } from './models/client.ts';
import { keepSessionOfGrants } from './models/grant.ts';
import { resumeWithPresentSession } from './models/interaction.ts';
import { type RefreshTokenDeps, usePasetoRefreshTokens } from './models/refresh_token.ts';
import { detectReplaysAtOnce, type Spend } from './models/replay_detection.ts';
import { keepSessionIdentifier } from './models/session.ts';
import { persistStoredSessionsOnly } from './models/session_persist.ts';
import { providerWithFormPost } from './response_modes.ts';

export interface OidcDeps extends Omit<ConfigurationDeps, 'fetch'> {
  /** How apps' addresses are asked: for keys, sector identifiers, metadata documents, and to tell them something. */
  outgoing: Outgoing;
  /** Counts an outgoing request that this address has caused. Returns the refusal where it is one too many. */
  countOutgoing: FetchDeps['count'];
  clients: Omit<ClientModelDeps, 'now'>;
  tokens: Tokens;
  refresh: RefreshStore;
  /** See read_ahead.ts. */
  readAhead: Query;
  revocations: Revocations;
  spend: Spend;
  binding: BrowserBinding;
  log: Log;
  /** Whether a device's code was asked about a moment ago. */
  pollsTooSoon(codeHash: string): Promise<boolean>;
  onRefresh: RefreshTokenDeps['onRefresh'];
  onPollRepeated: RefreshTokenDeps['onPollRepeated'];
  endReused: RefreshTokenDeps['endReused'];
  /** Runs one statement that changes something. */
  write(statement: Statement): Promise<unknown>;
  /** Told of every refusal of an OAuth endpoint. */
  onError(error: string): void;
  /** Told of sign-outs and of tokens that their client gave back. */
  onEnded(event: 'session.ended' | 'token.revoked', whose: EndedOf): void;
}

/** Whose session or token ended, and from where it was asked for. */
export interface EndedOf {
  accountId?: string | undefined;
  clientId?: string | undefined;
  address?: string | undefined;
}

export interface Oidc {
  provider: Provider;
  /** Opens and seals the session cookie; around everything that reads the session. */
  sessionCookie: Middleware;
  /** Serves the OAuth and OpenID endpoints. */
  middleware: Middleware;
  sendLogout: SendLogout;
  /** From now on these keys for ID tokens, of each algorithm the signing one first, and for cookies. */
  useKeys(jwks: JWK[], cookieSignatures: CookieSignatures): void;
}

/** Builds oidc-provider with our stores, tokens and pages. Throws where its configuration is faulty. */
export function createOidc(deps: OidcDeps): Oidc {
  const { config, tokens, revocations, refresh, now } = deps;
  let { jwks } = deps;
  const OurProvider = providerWithFormPost(deps.pages.formPost);
  const fetch = createClientFetch({ outgoing: deps.outgoing, count: deps.countOutgoing });
  const provider = withLeanRoutes(
    () => new OurProvider(config.ISSUER, providerConfiguration({ ...deps, fetch })),
    togetherChanged(
      changedSteps(config.resources, createWarnings(config.resources, deps.log)),
      deps.anonymousForms.steps,
    ),
  );
  logErrors(provider, deps);
  tellEnds(provider, deps);
  // http/request.ts has already settled who the client is and under which name it reached us.
  provider.proxy = true;
  keepScopes(provider);
  serveRegisteredClients(provider, { ...deps.clients, now });
  keepSessionIdentifier(provider);
  bindToBrowser(provider, deps.binding);
  resumeWithPresentSession(provider);
  keepSessionOfGrants(provider);
  persistStoredSessionsOnly(provider);
  const sendLogout = takeOverBackchannelLogout(provider);
  detectReplaysAtOnce(provider, deps.spend, now);
  addClientClaims(provider);
  usePasetoAccessTokens(provider, {
    issuer: config.ISSUER,
    tokens,
    revocations,
    kindFor(audience) {
      const resource = config.resources.find((entry) => entry.audience === audience);
      return resource ? formOf[resource.token_format] : 'access';
    },
    pairwise: deps.pairwise,
    now,
    async isClient(id, issuedAt) {
      const client = await deps.clients.byId(id);
      if (!client) return (await provider.Client.find(id)) !== undefined;
      // A token that is issued in the second in which its client is added is one of that client.
      return client.since === undefined || client.since < (issuedAt + 1) * 1000;
    },
  });
  usePasetoRefreshTokens(provider, {
    tokens,
    refresh,
    readAhead: deps.readAhead,
    revocations,
    familySeconds: lifeSeconds.refreshFamily,
    onRefresh: deps.onRefresh,
    onPollRepeated: deps.onPollRepeated,
    endReused: deps.endReused,
  });
  slowDownPolls(provider, deps.pollsTooSoon);
  const sessionCookie = createSessionCookie({
    tokens,
    name: cookieNames(config.ISSUER.startsWith('https:')).session,
    lifetimeSeconds: config.SESSION_LIFETIME_SECONDS,
    subjectOf: (ctx) =>
      (ctx as { oidc?: { session?: { accountId?: string; uid?: string } } }).oidc?.session ?? {},
    now,
  });
  const middleware = compose([
    takePostedRequests,
    refuseToAsk,
    takeRequestUris(provider, fetch),
    dropOldHints(provider, () => jwks),
    moveOnAfterSignOut(deps.pages.moveOn),
    completeAnswers(provider, deps.write),
    tellSecretOnce,
    ...provider.middleware,
  ]) as Middleware;
  const useKeys: Oidc['useKeys'] = (keys, cookies) => {
    jwks = keys;
    replaceKeys(provider, keys, cookies);
  };
  return { provider, sessionCookie, middleware, useKeys, sendLogout };
}

/** The library hides a refusal of ours behind an error of its own. */
const refuseToAsk: Middleware = async (ctx, next) => {
  await next();
  const refusal = refusedToAsk(ctx);
  if (refusal && ctx.status >= 400) throw refusal;
};

const formOf: Record<Resource['token_format'], TokenForm> = {
  'v4.local': 'access',
  'v4.public': 'public',
  jwt: 'jwt',
};

const errorEvents = [
  'authorization.error',
  'backchannel_authentication.error',
  'code_verification.error',
  'device_authorization.error',
  'device_resume.error',
  'discovery.error',
  'end_session.error',
  'end_session_confirm.error',
  'grant.error',
  'introspection.error',
  'jwks.error',
  'pushed_authorization_request.error',
  'registration_create.error',
  'registration_delete.error',
  'registration_read.error',
  'registration_update.error',
  'revocation.error',
  'userinfo.error',
  'server_error',
];

/** Tells of sign-outs and revocations; a reused refresh token is told of where it is found. */
function tellEnds(provider: Provider, { onEnded }: Pick<OidcDeps, 'onEnded'>): void {
  provider.on('end_session.success', ({ ip, oidc: { session, client } }) => {
    // Of a visitor who was not signed in nothing has ended.
    if (session?.accountId === undefined) return;
    onEnded('session.ended', { accountId: session.accountId, clientId: client?.clientId, address: ip });
  });
  const revoked = ({ accountId, clientId, reused }: EndedOf & { reused?: unknown }) => {
    if (!reused) onEnded('token.revoked', { accountId, clientId, address: Provider.ctx?.ip });
  };
  provider.on('access_token.destroyed', revoked);
  provider.on('refresh_token.destroyed', revoked);
  provider.on('client_credentials.destroyed', revoked);
}

/** The library answers clients in few words; the whole of it is for the log, under the id of the answer. */
function logErrors(provider: Provider, { log, onError }: Pick<OidcDeps, 'log' | 'onError'>): void {
  // Typed loosely here: the library's types name one overload an event.
  const emitter: NodeJS.EventEmitter = provider;
  for (const event of errorEvents) {
    emitter.on(event, (ctx: KoaContextWithOIDC, error: errors.OIDCProviderError) => {
      const line = {
        id: ctx.state.requestId,
        event,
        client: ctx.oidc?.client?.clientId,
        error: error.error,
        status: ctx.status,
        ...sentWith(ctx, error),
      };
      completeError(ctx, error);
      onError(error.error ?? 'server_error');
      if (ctx.status >= 500) log.error({ ...line, cause: error }, 'an OAuth request failed');
      else
        log.info(
          { ...line, detail: error.error_detail ?? error.error_description },
          'an OAuth request was refused',
        );
    });
  }
}
