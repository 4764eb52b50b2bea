/**
 * Wires oidc-provider with our stores, tokens and pages, what is sent to apps, and what our pages need to know of the
 * library.
 */
import { createDeliveries } from '../deliveries/deliveries.ts';
import { createOutgoing } from '../http/outgoing.ts';
import { createAddressCount, createPace } from '../http/rate_limit.ts';
import { cookieNames } from '../lib/cookies.ts';
import { createAppNames, ownNames } from '../oidc/clients/client_names.ts';
import { createPairwise } from '../oidc/clients/pairwise.ts';
import { createInteractions } from '../oidc/interaction/interactions.ts';
import { createProviderPages } from '../oidc/interaction/pages.ts';
import { createTrail } from '../oidc/interaction/trail.ts';
import { createAdapter } from '../oidc/library/adapter.ts';
import { createOidc, type Oidc, type OidcDeps } from '../oidc/library/provider.ts';
import { createReadAhead } from '../oidc/library/read_ahead.ts';
import { createAnonymousForms } from '../oidc/library/routes/anonymous_forms.ts';
import { createApprovals, waitingRequests } from '../oidc/polled/approvals.ts';
import { createPings, type HeldPing } from '../oidc/polled/pings.ts';
import { leastPollSeconds } from '../oidc/polled/polling.ts';
import { createBrowserBinding } from '../oidc/session/browser_binding.ts';
import { createSignedIn } from '../oidc/session/signed_in.ts';
import { createSignedOut } from '../oidc/session/signed_out.ts';
import { cookieSignaturesOf, derivedFor, privateJwks } from '../server_keys.ts';
import { hashFiles } from '../storage/instances.ts';
import { spend } from '../storage/spent.ts';
import type { Statement } from '../storage/statement.ts';
import type { Ground } from './deps.ts';
import { createFileClients } from './file_clients.ts';
import type { Foundations } from './foundations.ts';
import type { PageParts } from './page_parts.ts';

/**
 * How many outgoing requests an address may cause in a minute, at least: the bound if few attempts of people are
 * allowed.
 */
const leastOutgoing = 60;
/** How long the page after a sign-out waits for the first answers of apps. */
const signOutWaitMs = 2500;

export type WiredProvider = Awaited<ReturnType<typeof wireProvider>>;

/**
 * Builds the provider with the clients of CLIENTS_FILE. Rejects with ConfigError if these break the metadata rules.
 */
export async function wireProvider(ground: Ground, foundations: Foundations, parts: PageParts) {
  const { config, resources, log, metrics, now } = ground;
  const { accounts, clients, consents, deliveryStore, keyring, records, sealer } = foundations;
  const names = cookieNames(parts.secureCookies);
  const signedOut = createSignedOut(names.signedOut, parts.secureCookies);
  const binding = createBrowserBinding(names.begun, parts.secureCookies, now);
  const trail = createTrail(names.trail, parts.secureCookies);
  const nameOf = createAppNames(ownNames(config.ISSUER), clients.looksLike);
  const pings = createPings({ sealer, hold: deliveryStore.hold });
  const addressOf = createAddressOf(clients);
  const oidc = createOidc({
    ...oidcParts(ground, foundations, parts),
    ...oidcEvents(ground, foundations),
    binding,
    pages: createProviderPages({
      views: parts.views,
      accounts,
      signedOut,
      nameOf,
      addressOf,
      appsAfterSignOut: (uid) => deliveries.afterSignOut(uid, signOutWaitMs),
    }),
    holdPing: pings.hold,
  });
  const { provider, sessionCookie, middleware, notifications } = oidc;
  signedOut.noteAt(provider);
  trail.noteAt(provider);
  const deliveries = wireDeliveries(ground, foundations, {
    logout: notifications.logout,
    ping: (message) => pings.send(notifications.ping, message),
  });
  const hashKey = keyring.derive(derivedFor.fileHashes);
  let fileHashes = hashFiles(hashKey, config.digests);
  const files = createFileClients({
    ...{ config, resources, provider, clients, log },
    onUsed(digests) {
      fileHashes = hashFiles(hashKey, { ...config.digests, ...digests });
      metrics.showFiles({ ...fileHashes });
    },
  });
  await files.use(config);
  return {
    sessionCookie,
    middleware,
    deliveries,
    reloadFiles: files.reload,
    fileHashes: () => fileHashes,
    interactions: createInteractions(provider, { consents, binding, nameOf }, now),
    signedIn: createSignedIn(provider, accounts),
    trail,
    addressOf,
    /** For requests that apps make from elsewhere. Undefined if CIBA is off. */
    approvals:
      config.CIBA === 'on'
        ? createApprovals({ provider, records, resources, releasePing: deliveryStore.release, now })
        : undefined,
    useKeys: () => oidc.useKeys(privateJwks(keyring), cookieSignaturesOf(keyring)),
  };
}

/** The address of an app for people, if the operator has registered one. */
const createAddressOf =
  (clients: Foundations['clients']) =>
  async (clientId: string): Promise<string | undefined> => {
    const client = await clients.byId(clientId);
    // Not an address of a self-registered app: nobody is sent there from an error page.
    if (!client || client.source === 'registration') return undefined;
    const { initiate_login_uri, client_uri } = client.metadata;
    return [initiate_login_uri, client_uri].find((uri) => typeof uri === 'string');
  };

/** The stores, keys and limits that the library works with. */
function oidcParts(ground: Ground, foundations: Foundations, { secureCookies }: PageParts) {
  const { config, resources, database, cache, log, now } = ground;
  const { accounts, clients, consents, clientSecrets, counts, keyring, networksOf, records, tokens } =
    foundations;
  const { ephemeral, refresh, registrations, revocations, sessions } = foundations;
  const readAhead = createReadAhead(database.query, now);
  return {
    config,
    resources,
    accounts,
    adapter: createAdapter({
      ...{ sessions, records, revocations, ephemeral, registrations, readAhead },
      networkOf: (address) => networksOf(address).at(-1)?.key ?? address,
    }),
    clients: { byId: clients.byId, matches: clientSecrets.matches },
    jwks: privateJwks(keyring),
    cookieSignatures: cookieSignaturesOf(keyring),
    dpopNonceKey: keyring.derive('dpop nonces'),
    anonymousForms: createAnonymousForms(keyring.derive('anonymous forms'), {
      name: cookieNames(secureCookies).form,
      secure: secureCookies,
    }),
    consents,
    pairwise: createPairwise(keyring.derive('pairwise subjects')),
    spend: (id: string, expiresAt: number) => spend(database.query, id, expiresAt),
    waitingFor: (accountId: string) => waitingRequests(records, accountId, now),
    pollsTooSoon: createPace({ cache, counts }, leastPollSeconds, 'poll'),
    outgoing: ground.outgoing ?? createOutgoing(),
    countOutgoing: createAddressCount(
      { cache, counts, networksOf },
      { what: 'outgoing', points: Math.max(leastOutgoing, config.LIMIT_ADDRESS_PER_MINUTE / 10) },
    ),
    tokens,
    refresh,
    readAhead,
    revocations,
    log,
    write: ({ text, values }: Statement) => database.query(text, values),
    now,
  };
}

type Events = Pick<OidcDeps, 'onError' | 'onEnded' | 'onRefresh' | 'onPollRepeated' | 'endReused'>;

/** What happens at the library's endpoints, for the metrics and the audit log. */
const oidcEvents = ({ database, audit, metrics }: Ground, { revocations }: Foundations): Events => ({
  onError: (error) => metrics.oauthErrors.inc({ error }),
  onEnded(event, whose) {
    metrics.ended.inc({ event });
    audit.record({ event, ...whose });
  },
  onRefresh: (outcome) => metrics.refreshes.inc({ outcome }),
  onPollRepeated: (whose) => audit.record({ event: 'poll.repeated', ...whose }),
  endReused: ({ familyId, accountId, clientId }) =>
    database.transaction(async (query) => {
      await revocations.endFamily(familyId, 'reuse', query);
      const detail = { family: familyId };
      await audit.recordWithin(query, { event: 'refresh.reused', accountId, clientId, detail });
    }),
});

/** What apps are notified of: that a session has ended, and that a request was answered. */
function wireDeliveries(
  { log, audit, metrics }: Ground,
  { deliveryStore }: Foundations,
  send: {
    logout: Oidc['notifications']['logout'];
    ping(message: HeldPing): Promise<boolean>;
  },
) {
  return createDeliveries({
    store: deliveryStore,
    send: ({ kind, clientId, accountId, sid, sealed }) =>
      kind === 'logout' ? send.logout(clientId, accountId, sid) : send.ping({ clientId, about: sid, sealed }),
    onOutcome(outcome, { kind, clientId, accountId, attempt }) {
      metrics.deliveries.inc({ kind, outcome });
      if (outcome !== 'failed')
        audit.record({ event: `${kind}.${outcome}`, accountId, clientId, detail: { attempt } });
    },
    log,
  });
}
