/**
 * The composition root. It builds every part once, from the configuration, the stores, the clock and the log. It also
 * owns the order of the middlewares. It opens no storage and listens on no port.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import Koa, { type Middleware } from 'koa';
import type { Config } from './config/load.ts';
import type { Resource } from './config/schema.ts';
import { openCors } from './http/cors.ts';
import { countRequests } from './http/count_requests.ts';
import { renderErrors } from './http/errors.ts';
import { securityHeaders } from './http/headers.ts';
import { createMatcher } from './http/networks.ts';
import { byFirstPart } from './http/rate_limit.ts';
import { createRequestIdentity, readCredentials } from './http/request.ts';
import { limitRequests } from './http/request_limit.ts';
import { refuseWhileBehind } from './http/restore_gate.ts';
import { createSeen } from './http/seen.ts';
import { endUnread } from './http/unread.ts';
import { createUntrustedProxies, type UntrustedProxies } from './http/untrusted_proxies.ts';
import { watchKeys } from './keys/watch.ts';
import { randomId } from './lib/crypto.ts';
import { createHolder } from './lib/current.ts';
import { assertLifetimes } from './lifetimes.ts';
import { cookieSignaturesOf, derivedFor } from './server_keys.ts';
import { wireAccount } from './wiring/account.ts';
import { wireAuthentication } from './wiring/authentication.ts';
import type { Built } from './wiring/built.ts';
import type { AppDeps } from './wiring/deps.ts';
import { wireEndpointLimits } from './wiring/endpoint_limits.ts';
import { watchFiles } from './wiring/file_watch.ts';
import { layFoundations } from './wiring/foundations.ts';
import { wireInstances } from './wiring/instances.ts';
import { createPageParts } from './wiring/page_parts.ts';
import { wireProvider } from './wiring/provider.ts';
import { wireSignIn } from './wiring/sign_in.ts';
import { wireForwardAuth, wireSite } from './wiring/sites.ts';
import { showStates } from './wiring/states.ts';

export interface App {
  handle(req: IncomingMessage, res: ServerResponse): void;
  /** Starts the background work. */
  start(): void;
  /** Stops the background work, and waits for what is still running. */
  stop(): Promise<void>;
  /** Reads CLIENTS_FILE and RESOURCES_FILE again. If they have a fault, it is logged and nothing changes. */
  reloadFiles(): Promise<void>;
}

/** Builds the server. Rejects with ConfigError if clients break the metadata rules. */
export async function buildApp(config: Config, deps: AppDeps): Promise<App> {
  assertLifetimes(config);
  const resources = createHolder<readonly Resource[]>(config.resources);
  const instance = `${hostname()}:${config.PORT} ${randomId(6)}`;
  const ground = { config, resources, instance, ...deps };
  const foundations = await layFoundations(ground);
  const parts = createPageParts(ground, foundations);
  const provider = await wireProvider(ground, foundations, parts);
  const authentication = wireAuthentication(ground, foundations);
  const { keyring, restoreGuard } = foundations;
  const untrustedProxies = createUntrustedProxies(deps.log);
  showStates(ground, foundations);
  const instances = wireInstances(ground, provider);

  const koa = new Koa({ proxy: true });
  koa.keys = cookieSignaturesOf(keyring);
  const built = { ground, foundations, parts, provider, authentication };
  for (const middleware of wayOfRequests(built, untrustedProxies)) koa.use(middleware);
  koa.on('error', (error) => deps.log.error({ cause: error }, 'a response could not be completed'));

  keyring.follow(() => {
    foundations.useKeys();
    provider.useKeys();
    koa.keys = cookieSignaturesOf(keyring);
  });
  const identify = createRequestIdentity({
    issuer: config.ISSUER,
    trustedProxies: config.TRUSTED_PROXIES,
    certificateHeader: config.CLIENT_CERTIFICATE_HEADER,
    onUntrustedProxy: untrustedProxies.note,
  });
  const handle = koa.callback();
  const endWatches: (() => void)[] = [];
  return {
    handle(req, res) {
      identify(req);
      readCredentials(req);
      endUnread(req, res);
      void deps.database.bounded(callersOf(req), () => handle(req, res));
    },
    start() {
      provider.deliveries.start();
      authentication.passwords.start();
      restoreGuard.start();
      instances.start();
      endWatches.push(watchKeys({ keyring, rotation: foundations.rotation, log: deps.log }));
      const paths = [config.CLIENTS_FILE, config.RESOURCES_FILE];
      if (config.WATCH_FILES === 'on')
        endWatches.push(watchFiles(paths, () => provider.reloadFiles({ onlyChanged: true })));
    },
    async stop() {
      for (const end of endWatches) end();
      await instances.stop();
      authentication.passwords.stop();
      restoreGuard.stop();
      await provider.deliveries.stop();
    },
    reloadFiles: () => provider.reloadFiles(),
  };
}

/** The addresses at which people are. */
const ofPeople = /^\/(auth|interaction|account|session|device)([/?]|$)/;

/** A person waits longer for a page than an app for a token. */
const callersOf = ({ url = '' }: IncomingMessage): 'person' | 'app' =>
  ofPeople.test(url) ? 'person' : 'app';

/** The middlewares that a request passes, in their order. */
function wayOfRequests(built: Built, untrustedProxies: UntrustedProxies): Middleware[] {
  const { ground, foundations, parts, provider } = built;
  const { config, log, metrics, now } = ground;
  const { networksOf, keyring, restoreGuard } = foundations;
  return [
    countRequests(metrics),
    securityHeaders(config.ISSUER),
    openCors,
    renderErrors(parts.views, log, config.ISSUER),
    limitRequests(networksOf, config.LIMIT_ADDRESS_PER_MINUTE),
    refuseWhileBehind(restoreGuard),
    provider.sessionCookie,
    byFirstPart({
      ...wireSignIn(built),
      account: wireAccount(built),
      'forward-auth': wireForwardAuth(ground, foundations, parts, provider),
    }),
    wireEndpointLimits(ground, foundations, parts, provider),
    // oidc-provider comes before the pages, because apps and APIs send a hundred times as many requests as people.
    provider.middleware,
    parts.assets.middleware,
    createSeen({
      key: keyring.derive(derivedFor.doctor),
      isTrusted: createMatcher(config.TRUSTED_PROXIES),
      untrustedProxies: untrustedProxies.found,
      now,
    }),
    wireSite(ground, foundations, parts, provider),
  ];
}
