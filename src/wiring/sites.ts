/** Wires the home page, published keys and health, and forward-auth for sites that do not know OpenID Connect. */
import { createForwardAuth } from '../forward_auth/forward_auth.ts';
import { createSite } from '../http/site.ts';
import { cookieNames } from '../lib/cookies.ts';
import { lifeSeconds } from '../lifetimes.ts';
import { accountClaims } from '../oidc/claims/claims.ts';
import { forwardAuthSignInPath } from '../oidc/clients/forward_auth_clients.ts';
import { standsAfter } from '../oidc/session/signed_in.ts';
import { spend } from '../storage/spent.ts';
import { version } from '../version.ts';
import type { Ground } from './deps.ts';
import type { Foundations } from './foundations.ts';
import type { PageParts } from './page_parts.ts';
import type { WiredProvider } from './provider.ts';

export const wireSite = (
  { config, database, cache, stopping }: Ground,
  { clients, restoreGuard, tokens }: Foundations,
  { views }: PageParts,
  { signedIn }: WiredProvider,
) =>
  createSite({
    issuer: config.ISSUER,
    version,
    views,
    signedInAs: async (ctx) => (await signedIn(ctx))?.account.username,
    apps: async () =>
      (await clients.linked()).map(({ id, metadata }) => ({
        name: metadata.client_name ?? id,
        uri: String(metadata.initiate_login_uri),
      })),
    pasetoKeys: tokens.publicKeys,
    pasetoKeysSeconds: Math.min(lifeSeconds.publishedKeys, config.KEY_PUBLISHED_AHEAD_SECONDS),
    // A write of nothing, which waits for the disk and for a synchronous standby. A standby refuses it.
    pingDatabase: () => database.query("select pg_logical_emit_message(true, 'cypher', '')"),
    cacheState: cache.state,
    behindMs: restoreGuard.behindMs,
    stopping,
  });

/** Undefined if no sites are configured. */
export function wireForwardAuth(
  { config, database, audit, metrics, now }: Ground,
  { accounts, ephemeral, sessions, tokens }: Foundations,
  { secureCookies, views }: PageParts,
  { signedIn }: WiredProvider,
) {
  if (!config.forwardAuth) return undefined;
  return createForwardAuth(config.forwardAuth, {
    issuer: config.ISSUER,
    tokens,
    ephemeral,
    spend: (id, expiresAt) => spend(database.query, id, expiresAt),
    useSession: (uid) =>
      sessions.use(uid, {
        idleSeconds: config.SESSION_IDLE_SECONDS,
        lifetimeSeconds: config.SESSION_LIFETIME_SECONDS,
      }),
    accountById: accounts.byId,
    usernameOf: async (id) => (await accounts.byId(id))?.username,
    render: views.render,
    standsAfter,
    claimsOf: accountClaims,
    foldUsername: (name) => accounts.parseUsername(name).key,
    cookies: cookieNames(secureCookies),
    lifetimeSeconds: config.SESSION_LIFETIME_SECONDS,
    async signedIn(ctx) {
      const who = await signedIn(ctx);
      return who && { accountId: who.account.id, sessionUid: who.sessionUid };
    },
    signInPath: (request) => forwardAuthSignInPath(config.ISSUER, request),
    onOutcome(outcome, who) {
      metrics.forwardAuth.inc({ outcome });
      if (who) audit.record({ event: 'site.entered', accountId: who.accountId, detail: { site: who.host } });
    },
    now,
  });
}
