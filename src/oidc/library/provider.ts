/**
 * Builds oidc-provider: its configuration, its routes with our steps, its models with our overrides, and the
 * middleware around it. The rest of the server mounts that middleware and uses the functions that `createOidc`
 * returns. How the sign-in pages talk to the library is not here but in interaction/interactions.ts.
 */
import type { Middleware } from 'koa';
import compose from 'koa-compose';
import type Provider from 'oidc-provider';
import type { errors, JWK, KoaContextWithOIDC } from 'oidc-provider';
import type { Resource } from '../../config/schema.ts';
import type { Outgoing } from '../../http/outgoing.ts';
import type { CookieSignatures } from '../../lib/cookie_signatures.ts';
import { cookieNames } from '../../lib/cookies.ts';
import type { Log } from '../../lib/log.ts';
import type { RefreshStore } from '../../refresh/store.ts';
import type { Revocations } from '../../revocation/revocations.ts';
import type { Query } from '../../storage/database.ts';
import type { Statement } from '../../storage/statement.ts';
import type { Tokens } from '../../tokens/tokens.ts';
import { certificateReader } from '../clients/client_certificates.ts';
import { tellSecretOnce } from '../clients/registration.ts';
import { completeError, sentWith } from '../requests/error_reports.ts';
import { createWarnings } from '../requests/ignored.ts';
import { takePostedRequests } from '../requests/posted_requests.ts';
import { takeRequestUris } from '../requests/request_uris.ts';
import type { BrowserBinding } from '../session/browser_binding.ts';
import { createSessionCookie } from '../session/session_cookie.ts';
import { dropOldHints, moveOnAfterSignOut } from '../session/sign_out.ts';
import { createClientFetch, type FetchDeps } from './client_fetches.ts';
import { providerConfiguration } from './configuration/configuration.ts';
import type { ConfigurationDeps } from './configuration/deps.ts';
import { registerRefreshGrant } from './grants/refresh_token.ts';
import { replaceKeys } from './live_keys.ts';
import { overrideAccessTokens, type TokenForm } from './models/access_token.ts';
import { overrideAuthorizationCode } from './models/authorization_code.ts';
import { overrideBackchannelRequest } from './models/backchannel_request.ts';
import { overrideClaims } from './models/claims.ts';
import { type ClientModelDeps, keepScopes, overrideClient } from './models/client.ts';
import { type Notifications, takeOverNotifications } from './models/client_notifications.ts';
import { overrideDeviceCode } from './models/device_code.ts';
import { overrideGrant } from './models/grant.ts';
import { overrideInteraction } from './models/interaction.ts';
import { overrideContext } from './models/oidc_context.ts';
import type { PollsTooSoon } from './models/polled.ts';
import { overrideRefreshToken, type RefreshTokenDeps } from './models/refresh_token.ts';
import { overrideReplayDetection, type Spend } from './models/replay_detection.ts';
import { overrideSession } from './models/session.ts';
import { currentScope, scopeOf } from './request_scope.ts';
import { completeAnswers } from './routes/answers.ts';
import { changedSteps } from './routes/changed_steps.ts';
import { providerWithFormPost } from './routes/response_modes.ts';
import { withOurRoutes } from './routes/routes.ts';

export interface OidcDeps extends Omit<ConfigurationDeps, 'fetch'> {
  /**
   * Sends requests to the addresses of apps: for keys, sector identifiers and metadata documents, and to notify them.
   */
  outgoing: Outgoing;
  /**
   * Counts an outgoing request that this IP address has caused. Resolves with the refusal if it is over its limit.
   */
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
  /** Whether a client polls for a device code or CIBA request again too soon. */
  pollsTooSoon: PollsTooSoon;
  onRefresh: RefreshTokenDeps['onRefresh'];
  onPollRepeated: RefreshTokenDeps['onPollRepeated'];
  endReused: RefreshTokenDeps['endReused'];
  /** Runs one statement that changes something. */
  write(statement: Statement): Promise<unknown>;
  /** Called for every error of an OAuth endpoint, with the error code. */
  onError(error: string): void;
  /** Called when a person signs out, and when a client revokes one of its tokens. */
  onEnded(event: 'session.ended' | 'token.revoked', whose: EndedOf): void;
}

/** Whose session or token ended. `address` is the IP address of the request that ended it. */
export interface EndedOf {
  accountId?: string | undefined;
  clientId?: string | undefined;
  address?: string | undefined;
}

export interface Oidc {
  provider: Provider;
  /** Opens and seals the session cookie. It must enclose everything that reads the session. */
  sessionCookie: Middleware;
  /** Serves the OAuth and OpenID endpoints. */
  middleware: Middleware;
  notifications: Notifications;
  /** Uses these keys from now on, for ID tokens and for cookies. The first key of each algorithm signs. */
  useKeys(jwks: JWK[], cookieSignatures: CookieSignatures): void;
}

/** Builds oidc-provider with our stores, tokens and pages. Throws if the library refuses its configuration. */
export function createOidc(deps: OidcDeps): Oidc {
  const { config, tokens, now } = deps;
  let { jwks } = deps;
  const OurProvider = providerWithFormPost(deps.pages.formPost);
  const fetch = createClientFetch({ outgoing: deps.outgoing, count: deps.countOutgoing });
  const provider = withOurRoutes(
    () => new OurProvider(config.ISSUER, providerConfiguration({ ...deps, fetch })),
    changedSteps(deps.resources, createWarnings(deps.resources, deps.log)),
    deps.anonymousForms.steps,
  );
  logErrors(provider, deps);
  tellEnds(provider, deps);
  // The request's client address and host name are already settled behind trusted proxies, so koa may use them.
  provider.proxy = true;
  overrideModels(provider, deps);
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
  return { provider, sessionCookie, middleware, useKeys, notifications: takeOverNotifications(provider) };
}

function overrideModels(provider: Provider, deps: OidcDeps): void {
  const { config, tokens, revocations, now } = deps;
  keepScopes(provider);
  overrideClient(provider, { ...deps.clients, now });
  overrideContext(provider);
  overrideSession(provider);
  overrideInteraction(provider, deps.binding);
  overrideGrant(provider);
  overrideAuthorizationCode(provider);
  overrideDeviceCode(provider, deps.pollsTooSoon);
  overrideBackchannelRequest(provider, deps.pollsTooSoon);
  overrideReplayDetection(provider, deps.spend, now);
  overrideClaims(provider);
  overrideAccessTokens(provider, {
    issuer: config.ISSUER,
    tokens,
    revocations,
    kindFor(audience) {
      const resource = deps.resources.current().find((entry) => entry.audience === audience);
      return resource ? formOf[resource.token_format] : 'access';
    },
    pairwise: deps.pairwise,
    now,
    async isClient(id, issuedAt) {
      const client = await deps.clients.byId(id);
      if (!client) return (await provider.Client.find(id)) !== undefined;
      // `issuedAt` has whole seconds, so a token from the second in which the client was added belongs to that
      // client.
      return client.since === undefined || client.since < (issuedAt + 1) * 1000;
    },
  });
  overrideRefreshToken(provider, deps);
  registerRefreshGrant(provider, { ...deps, certificateOf: certificateReader(config) });
}

/** Restores our refusal of an outgoing request (429). The library has replaced it with an error of its own. */
const refuseToAsk: Middleware = async (ctx, next) => {
  await next();
  const refusal = scopeOf(ctx)?.refusal;
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

/** Reports sign-outs and revocations. A reused refresh token is not reported here: its detection reports it. */
function tellEnds(provider: Provider, { onEnded }: Pick<OidcDeps, 'onEnded'>): void {
  provider.on('end_session.success', ({ ip, oidc: { session, client } }) => {
    // A visitor who was not signed in has ended nothing.
    if (session?.accountId === undefined) return;
    onEnded('session.ended', { accountId: session.accountId, clientId: client?.clientId, address: ip });
  });
  const revoked = ({ accountId, clientId, reused }: EndedOf & { reused?: unknown }) => {
    if (!reused) onEnded('token.revoked', { accountId, clientId, address: currentScope()?.ctx.ip });
  };
  provider.on('access_token.destroyed', revoked);
  provider.on('refresh_token.destroyed', revoked);
  provider.on('client_credentials.destroyed', revoked);
}

/**
 * Logs the errors of the endpoints in full, under the id that the answer carries. The library tells clients little.
 */
function logErrors(provider: Provider, { log, onError }: Pick<OidcDeps, 'log' | 'onError'>): void {
  // The library's types have one overload per event name, so a loop over the names needs the general type.
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
