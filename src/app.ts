/**
 * The composition root: every part is built and wired here, once, from the configuration, the stores, the clock and the
 * log. main.ts gives it PostgreSQL and Redis; tests give it what they like.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import Koa from 'koa';
import { createAccess } from './account/access.ts';
import { createChanges } from './account/changes.ts';
import { accountEventOf } from './account/outcomes.ts';
import { createOverview } from './account/overview.ts';
import { createProofs } from './account/proofs.ts';
import { createAccountRoutes } from './account/routes.ts';
import { createAccounts } from './accounts/accounts.ts';
import { createFailures } from './accounts/failures.ts';
import { createInvitations } from './accounts/invitations.ts';
import type { Audit } from './audit/audit.ts';
import { addressesOf } from './clients/addresses.ts';
import { createRegistrations } from './clients/registrations.ts';
import { createClientRegistry } from './clients/registry.ts';
import { createClientSecrets } from './clients/secrets.ts';
import { createClientStore } from './clients/store.ts';
import { type Config, ConfigError, type Files, loadFiles } from './config/load.ts';
import { createDeliveries } from './deliveries/deliveries.ts';
import { createDeliveryStore } from './deliveries/store.ts';
import { createForwardAuth } from './forward_auth/forward_auth.ts';
import { createAssets } from './http/assets.ts';
import { renderErrors } from './http/errors.ts';
import { securityHeaders } from './http/headers.ts';
import type { Metrics } from './http/metrics.ts';
import { sameOriginOnly } from './http/origin.ts';
import { createOutgoing } from './http/outgoing.ts';
import {
  createAddressLimit,
  createGuessLimit,
  createPace,
  limitBeginnings,
  limitPosts,
  pathOf,
} from './http/rate_limit.ts';
import { createRequestIdentity } from './http/request.ts';
import { createSeen } from './http/seen.ts';
import { createSite } from './http/site.ts';
import { endUnread } from './http/unread.ts';
import { createViews } from './http/views.ts';
import { createDevices } from './interaction/devices.ts';
import { createInvitationRoutes } from './interaction/invitation_routes.ts';
import { createInvited } from './interaction/invited.ts';
import { auditEventOf } from './interaction/outcomes.ts';
import { createPages } from './interaction/pages.ts';
import { createPasswords } from './interaction/password.ts';
import { createInteractionRoutes } from './interaction/routes.ts';
import { createSecondFactor } from './interaction/second_factor.ts';
import { createStandings } from './interaction/standing.ts';
import { openKeyring } from './keys/keyring.ts';
import { createRotation } from './keys/rotation.ts';
import { watchKeys } from './keys/watch.ts';
import { createAdmission } from './lib/admission.ts';
import { cookieNames } from './lib/cookies.ts';
import { createSealer } from './lib/crypto.ts';
import type { Log } from './lib/log.ts';
import { accountSignInPath } from './oidc/account_client.ts';
import { createAdapter } from './oidc/adapter.ts';
import { createApprovals } from './oidc/approvals.ts';
import { describeDetails } from './oidc/authorization_details.ts';
import { accountClaims } from './oidc/claims.ts';
import { metadataFaults } from './oidc/client_model.ts';
import { forwardAuthSignInPath } from './oidc/forward_auth_clients.ts';
import { createInteractions } from './oidc/interactions.ts';
import { lifeSeconds } from './oidc/life.ts';
import { createProviderPages } from './oidc/pages.ts';
import { createPairwise } from './oidc/pairwise.ts';
import { createPings } from './oidc/pings.ts';
import { leastPollSeconds } from './oidc/polling.ts';
import { createOidc } from './oidc/provider.ts';
import { createRecordStore } from './oidc/record_store.ts';
import { describeScope, describeScopes } from './oidc/scopes.ts';
import { createSignedIn, standsAfter } from './oidc/signed_in.ts';
import { createSignedOut } from './oidc/signed_out.ts';
import { createOpaque } from './opaque/opaque.ts';
import { createRefreshStore } from './refresh/store.ts';
import { createRevocations } from './revocation/revocations.ts';
import {
  cookieKeysOf,
  deviceKeysOf,
  fakeOpaqueKeysOf,
  keyKinds,
  keyPolicies,
  opaqueVersionsOf,
  privateJwks,
  tokenKeysetOf,
} from './server_keys.ts';
import { createSessionStore } from './sessions/store.ts';
import type { Cache } from './storage/cache.ts';
import type { Database } from './storage/database.ts';
import { createEphemeral } from './storage/ephemeral.ts';
import { spend } from './storage/spent.ts';
import { createSteps } from './tokens/steps.ts';
import { createTokens } from './tokens/tokens.ts';
import { createTotp } from './totp/totp.ts';

export interface AppDeps {
  database: Database;
  cache: Cache;
  /** The 32-byte key-encryption key, and the one before it where some rows are still sealed under that. */
  kek: Uint8Array;
  previousKek?: Uint8Array | undefined;
  /** Where views/ and the built assets are. */
  root: string;
  log: Log;
  audit: Audit;
  metrics: Metrics;
  /** Milliseconds since the epoch. */
  now: () => number;
  stopping: () => boolean;
}

export interface App {
  handle(req: IncomingMessage, res: ServerResponse): void;
  /** Begins what goes on beside requests. */
  start(): void;
  /** Ends it, and waits for what is under way. */
  stop(): Promise<void>;
  /** Reads CLIENTS_FILE and RESOURCES_FILE anew. Where they have a fault it is logged, and all stays as it was. */
  reloadFiles(): Promise<void>;
}

/** How long the page after a sign-out waits for the apps' first answers. */
const signOutWaitMs = 2500;

/** How many sign-ins an address may begin for each that it may go on with. */
const beginningsPerAttempt = 60;
/** A device's code is one of 2.5 × 10¹⁰ and lives for ten minutes: one guess in eight million may then meet it. */
const userCodeGuessesPerMinute = 300;

/** Builds the server. Throws ConfigError for clients that break the metadata rules. */
export async function buildApp(config: Config, deps: AppDeps): Promise<App> {
  const { database, cache, log, audit, metrics, now } = deps;
  const sealer = createSealer(deps.kek, deps.previousKek);
  const keyring = await openKeyring(database, sealer, keyKinds, { log, now });
  const policies = keyPolicies(config);
  const rotation = createRotation({
    database,
    sealer,
    kinds: keyKinds,
    policies,
    inUse: async (query, { kind, id }) =>
      kind === 'opaque' && (await accounts.withOpaqueKey(id, query)).length > 0,
    onChange(change) {
      log.info(change, 'a key has changed its state');
      audit.record({ event: 'key.changed', detail: { ...change } });
    },
    now,
  });
  const tokens = createTokens({
    issuer: config.ISSUER,
    keyset: tokenKeysetOf(keyring, policies),
    lookForKeys: keyring.look,
    now,
  });
  const ephemeral = createEphemeral(cache, database, now);
  const accounts = createAccounts(database, now);
  const invitations = createInvitations({ database, accounts, audit, now });
  const failures = createFailures(database, config.LIMIT_ACCOUNT_FAILURES, now);
  const devices = createDevices(keyring.derive('failure buckets'), () => deviceKeysOf(keyring));
  const opaque = await createOpaque({
    versions: opaqueVersionsOf(keyring),
    fakeKeys: fakeOpaqueKeysOf(keyring),
    unknownNameKey: keyring.derive('unknown names'),
    lookForVersions: keyring.look,
  });
  const totp = createTotp({
    issuer: config.ISSUER,
    sealer,
    setupKey: keyring.derive('totp set-up'),
    recoveryKey: keyring.derive('recovery codes'),
    now,
  });
  const revocations = createRevocations(database, lifeSeconds.revocation, now);
  const refresh = createRefreshStore(database, {
    successorKey: keyring.derive('refresh successors'),
    leewayMs: config.REFRESH_LEEWAY_SECONDS * 1000,
    now,
  });
  const sessions = createSessionStore({ database, cache, accessTokenSeconds: lifeSeconds.revocation, now });
  const records = createRecordStore(database, now);
  const assets = createAssets({ dir: join(deps.root, 'views/assets') });
  const views = createViews({ viewsDir: join(deps.root, 'views'), assets });

  const clientSecrets = createClientSecrets(keyring.derive('client secrets'), sealer);
  const clientStore = createClientStore(database, now);
  const registry = createClientRegistry({ database, store: clientStore, secrets: clientSecrets });

  /** Addresses of a file that is being checked: the check may have to ask there. */
  let proposed = new Set<string>();

  const deliveryStore = createDeliveryStore(database, now);
  const pings = createPings({ sealer, hold: deliveryStore.hold });
  const secureCookies = config.ISSUER.startsWith('https:');
  const signedOut = createSignedOut(cookieNames(secureCookies).signedOut, secureCookies);
  const {
    provider,
    sessionCookie,
    middleware: oidc,
    sendLogout,
    useKeys,
  } = createOidc({
    config,
    accounts,
    adapter: createAdapter({
      sessions,
      records,
      revocations,
      ephemeral,
      registrations: createRegistrations({ store: clientStore, registry, secrets: clientSecrets, now }),
    }),
    clients: { byId: registry.byId, matches: clientSecrets.matches },
    jwks: privateJwks(keyring),
    cookieKeys: cookieKeysOf(keyring),
    dpopNonceKey: keyring.derive('dpop nonces'),
    pairwise: createPairwise(keyring.derive('pairwise subjects')),
    spend: (id, expiresAt) => spend(database.query, id, expiresAt),
    pages: createProviderPages({
      views,
      accounts,
      signedOut,
      appsAfterSignOut: (uid) => deliveries.afterSignOut(uid, signOutWaitMs),
    }),
    holdPing: pings.hold,
    pollsTooSoon: createPace(cache, leastPollSeconds, 'poll'),
    outgoing: createOutgoing({
      mayBePrivate: async (url) => proposed.has(url) || registry.isOperatorsAddress(url),
    }),
    tokens,
    refresh,
    revocations,
    log,
    write: ({ text, values }) => database.query(text, values),
    onError: (error) => metrics.oauthErrors.inc({ error }),
    onEnded(event, whose) {
      metrics.ended.inc({ event });
      audit.record({ event, ...whose });
    },
    onRefresh(outcome, { familyId, clientId, accountId }) {
      metrics.refreshes.inc({ outcome });
      if (outcome === 'reused')
        audit.record({ event: 'refresh.reused', accountId, clientId, detail: { family: familyId } });
    },
    now,
  });
  signedOut.noteAt(provider);
  const deliveries = createDeliveries({
    store: deliveryStore,
    send: ({ kind, clientId, accountId, sid, sealed }) =>
      kind === 'logout'
        ? sendLogout(clientId, accountId, sid)
        : pings.send(provider, { clientId, about: sid, sealed }),
    onOutcome(outcome, { kind, clientId, accountId, attempt }) {
      metrics.deliveries.inc({ kind, outcome });
      if (outcome !== 'failed')
        audit.record({ event: `${kind}.${outcome}`, accountId, clientId, detail: { attempt } });
    },
    log,
  });
  /** Takes what the files hold, all of it or, with ConfigError, nothing. */
  const useFiles = async ({ clients, resources }: Files) => {
    proposed = new Set(clients.flatMap(addressesOf));
    const faults = await metadataFaults(provider, clients);
    proposed.clear();
    if (faults.size > 0) {
      throw new ConfigError(
        [...faults].map(([id, fault]) => {
          const index = clients.findIndex(({ client_id }) => client_id === id);
          return `CLIENTS_FILE ${config.CLIENTS_FILE}: $[${index}] ${fault}`;
        }),
      );
    }
    const clashes = await registry.useFile(clients);
    config.resources.splice(0, Number.POSITIVE_INFINITY, ...resources);
    for (const id of clashes) {
      log.warn({ client: id }, 'this client is in CLIENTS_FILE and in the database: the file counts');
    }
  };
  await useFiles({ clients: config.clients, resources: [...config.resources] });

  const steps = createSteps(tokens, now);
  const interactions = createInteractions(provider, now);
  // Some 150 ms of OPAQUE: who would wait longer, with the queue still growing, would wait in vain.
  const admission = createAdmission(64, () => metrics.overloaded.inc());
  const passwords = createPasswords({
    accounts,
    invitations,
    opaque,
    failures,
    devices,
    ephemeral,
    sealer,
    admission,
  });
  const secondFactor = createSecondFactor({ accounts, totp, failures, devices, steps, database });
  const perAddress = createAddressLimit(cache, config.LIMIT_ADDRESS_PER_MINUTE);
  const invited = createInvited({
    invitations,
    accounts,
    signUpIsOpen: config.SIGN_UP === 'open',
    secureCookies,
  });
  const routes = createInteractionRoutes({
    interactions,
    invited,
    standings: createStandings({
      interactions,
      accounts,
      steps,
      secureCookies,
    }),
    pages: createPages({
      render: views.render,
      totp,
      invited,
      describeScopes,
      describeDetails: describeDetails(config.resources),
    }),
    passwords,
    secondFactor,
    devices,
    sameOriginOnly: sameOriginOnly(config.ISSUER),
    addressLimit: perAddress,
    onOutcome(outcome) {
      metrics.steps.inc({ step: outcome.step, outcome: outcome.outcome });
      if (outcome.amr) metrics.logins.inc();
      const event = auditEventOf(outcome);
      if (event) audit.record(event);
    },
  });
  const invitation = createInvitationRoutes({
    invited,
    render: views.render,
    signUpPath: accountSignInPath(config.ISSUER, 'login'),
    sameOriginOnly: sameOriginOnly(config.ISSUER),
  });
  const signedIn = createSignedIn(provider, accounts);
  const proofs = createProofs({ passwords, secondFactor, totp, steps, accounts, query: database.query });
  const access = createAccess({
    sessions,
    grants: records,
    refresh,
    revocations,
    database,
    accessTokenSeconds: lifeSeconds.revocation,
    now,
  });
  const recoveryCodesLeft = (accountId: string) => totp.recoveryCodesLeft(database.query, accountId);
  const approvals =
    config.CIBA === 'on'
      ? createApprovals({
          provider,
          records,
          resources: config.resources,
          releasePing: deliveryStore.release,
          now,
        })
      : undefined;
  const account = createAccountRoutes({
    signedIn,
    signInPath: accountSignInPath(config.ISSUER),
    overview: createOverview({
      access,
      recoveryCodesLeft,
      clientOf: interactions.clientOf,
      describeScope,
      requestsOf: async (accountId) => (await approvals?.waiting(accountId))?.length,
      now,
    }),
    render: views.render,
    access,
    proofs,
    changes: createChanges({
      accounts,
      opaque,
      secondFactor,
      totp,
      proofs,
      revocations,
      database,
      ephemeral,
    }),
    totp,
    recoveryCodesLeft,
    requests: approvals && {
      approvals,
      clientOf: interactions.clientOf,
      describeScopes,
      sessionOf: sessions.byUid,
      secondFactor,
      totp,
      database,
    },
    secureCookies,
    sameOriginOnly: sameOriginOnly(config.ISSUER),
    addressLimit: perAddress,
    onOutcome(outcome) {
      metrics.account.inc({ action: outcome.action, outcome: outcome.outcome });
      const event = accountEventOf(outcome);
      if (event) audit.record(event);
    },
  });
  const forwardAuth =
    config.forwardAuth &&
    createForwardAuth(config.forwardAuth, {
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
        if (who)
          audit.record({ event: 'site.entered', accountId: who.accountId, detail: { site: who.host } });
      },
      now,
    });
  const site = createSite({
    issuer: config.ISSUER,
    views,
    signedInAs: async (ctx) => (await signedIn(ctx))?.account.username,
    apps: async () =>
      (await registry.list()).flatMap(({ id, metadata }) =>
        typeof metadata.initiate_login_uri === 'string'
          ? [{ name: metadata.client_name ?? id, uri: metadata.initiate_login_uri }]
          : [],
      ),
    pasetoKeys: tokens.publicKeys,
    pasetoKeysSeconds: Math.min(300, config.KEY_PUBLISHED_AHEAD_SECONDS),
    pingDatabase: () => database.query('select 1'),
    cacheState: cache.state,
    stopping: deps.stopping,
  });

  const app = new Koa({ proxy: true, keys: cookieKeysOf(keyring) });
  app.use(securityHeaders(config.ISSUER));
  app.use(renderErrors(views, log));
  app.use((ctx, next) => {
    // Before any work is done for what will be refused; counted is only what has been received (interaction/password.ts).
    if (ctx.method === 'POST' && pathOf(ctx).endsWith('/init')) admission.check();
    return next();
  });
  app.use(sessionCookie);
  const guesses = [
    createAddressLimit(cache, config.LIMIT_ADDRESS_PER_MINUTE, 'user code'),
    createGuessLimit(cache, userCodeGuessesPerMinute, 'user codes'),
  ];
  for (const limit of guesses) app.use(limitPosts('/device', limit));
  app.use(limitPosts('/reg', perAddress));
  app.use(
    limitBeginnings(
      createAddressLimit(cache, beginningsPerAttempt * config.LIMIT_ADDRESS_PER_MINUTE, 'begun'),
    ),
  );
  // Apps and APIs ask a hundred times as often as people: their endpoints are looked for first.
  app.use(oidc);
  app.use(assets.middleware);
  app.use(createSeen(keyring.derive('doctor'), now));
  app.use(site);
  app.use(routes);
  app.use(invitation);
  app.use(account);
  if (forwardAuth) app.use(forwardAuth);
  app.on('error', (error) => log.error({ cause: error }, 'a response could not be completed'));
  keyring.follow(() => {
    tokens.useKeys(tokenKeysetOf(keyring, policies));
    opaque.useVersions(opaqueVersionsOf(keyring));
    useKeys(privateJwks(keyring), cookieKeysOf(keyring));
    app.keys = cookieKeysOf(keyring);
  });
  const identify = createRequestIdentity(
    config.ISSUER,
    config.TRUSTED_PROXIES,
    config.CLIENT_CERTIFICATE_HEADER,
  );
  const handle = app.callback();
  let endWatch: (() => void) | undefined;
  return {
    handle(req, res) {
      identify(req);
      endUnread(req, res);
      void database.bounded(() => handle(req, res));
    },
    start() {
      deliveries.start();
      endWatch = watchKeys({ keyring, rotation, log });
    },
    async stop() {
      endWatch?.();
      await deliveries.stop();
    },
    async reloadFiles() {
      try {
        await useFiles(loadFiles(config));
        log.info('CLIENTS_FILE and RESOURCES_FILE were read anew');
      } catch (cause) {
        const faults = cause instanceof ConfigError ? { faults: cause.faults } : { cause };
        log.error(
          faults,
          'CLIENTS_FILE and RESOURCES_FILE were not taken: what they held before still counts',
        );
      }
    },
  };
}
