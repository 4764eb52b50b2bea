/**
 * The composition root: every part is built here, once, from the configuration, the stores, the clock and the log, by the
 * functions of wiring/, and the middlewares are put into their order. serve.ts gives it PostgreSQL and Redis; tests give it
 * what they like.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import Koa, { type Context, type Middleware } from 'koa';
import type { Audit } from './audit/audit.ts';
import type { Config } from './config/load.ts';
import { openCors } from './http/cors.ts';
import { countRequests } from './http/count_requests.ts';
import { renderErrors } from './http/errors.ts';
import { securityHeaders } from './http/headers.ts';
import type { Metrics } from './http/metrics.ts';
import { createMatcher } from './http/networks.ts';
import type { Outgoing } from './http/outgoing.ts';
import { createAddressLimit, createGuessLimit, limitBeginnings, limitPosts } from './http/rate_limit.ts';
import { createRequestIdentity, readCredentials } from './http/request.ts';
import { limitRequests } from './http/request_limit.ts';
import { refuseWhileBehind } from './http/restore_gate.ts';
import { createSeen } from './http/seen.ts';
import { endUnread } from './http/unread.ts';
import { createUntrustedProxies } from './http/untrusted_proxies.ts';
import { watchKeys } from './keys/watch.ts';
import type { Log } from './lib/log.ts';
import { assertLifetimes } from './lifetimes.ts';
import { cookieSignaturesOf } from './server_keys.ts';
import type { Cache } from './storage/cache.ts';
import type { Database } from './storage/database.ts';
import { createGuesses } from './storage/guesses.ts';
import { wireAccount } from './wiring/account.ts';
import { layFoundations } from './wiring/foundations.ts';
import { createPageParts } from './wiring/page_parts.ts';
import { wireProvider } from './wiring/provider.ts';
import { wireSignIn } from './wiring/sign_in.ts';
import { wireForwardAuth, wireSite } from './wiring/sites.ts';

export interface AppDeps {
  database: Database;
  cache: Cache;
  /** The 32-byte key-encryption key, and the one before it where some rows are still sealed under that. */
  kek: Uint8Array;
  previousKek?: Uint8Array | undefined;
  /** Where this machine keeps how far the database's history goes, to notice that a backup was restored. */
  markFile?: string | undefined;
  /** Where views/ and the built assets are. */
  root: string;
  log: Log;
  audit: Audit;
  metrics: Metrics;
  /** Milliseconds since the epoch. */
  now: () => number;
  stopping: () => boolean;
  /** How apps' addresses are asked, if not as a server on the internet does it. */
  outgoing?: Outgoing;
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

/** How many sign-ins an address may begin for each that it may go on with. */
const beginningsPerAttempt = 10;
/**
 * A device's code is one of 20⁸ = 2.56 × 10¹⁰ and lives for ten minutes. In that time all strangers together have 3,000
 * wrong guesses and what arrives while those are being counted: they meet a given code once in millions of lives of it. Each person who is signed in has ten more; to
 * guess as often as all strangers takes 300 accounts, each made with a second factor under the limit of its address.
 */
const userCodeGuesses = {
  perPerson: { guesses: 10, seconds: 600 },
  allStrangers: { guesses: 300, seconds: 60 },
};

/** Builds the server. Throws ConfigError for clients that break the metadata rules. */
export async function buildApp(config: Config, deps: AppDeps): Promise<App> {
  assertLifetimes(config);
  const { database, cache, log, now } = deps;
  const foundations = await layFoundations(config, deps);
  const parts = createPageParts(config, deps, foundations.networksOf);
  const provider = await wireProvider(config, deps, foundations, parts);
  const signIn = wireSignIn(config, deps, foundations, parts, provider);
  const account = wireAccount(config, deps, foundations, parts, provider, signIn);
  const site = wireSite(config, deps, foundations, parts, provider);
  const forwardAuth = wireForwardAuth(config, deps, foundations, parts, provider);

  const perMinute = config.LIMIT_ADDRESS_PER_MINUTE;
  const { keyring, networksOf } = foundations;
  const limits = { cache, networksOf };
  const untrustedProxies = createUntrustedProxies(log);
  const personOf = async (ctx: Context) => (await provider.signedIn(ctx))?.account.id;
  /** What a request goes through, from the outside in. */
  const order: (Middleware | undefined)[] = [
    countRequests(deps.metrics),
    securityHeaders(config.ISSUER),
    openCors,
    renderErrors(parts.views, log, config.ISSUER),
    limitRequests(networksOf, perMinute),
    refuseWhileBehind(foundations.restoreGuard),
    provider.sessionCookie,
    limitPosts('/device', createAddressLimit(limits, { what: 'user code', points: perMinute })),
    limitPosts(
      '/device',
      createGuessLimit(createGuesses(database, now), 'user codes', userCodeGuesses, personOf),
    ),
    limitPosts('/reg', parts.addressLimit),
    limitPosts('/reg', parts.makingLimit),
    limitBeginnings(createAddressLimit(limits, { what: 'begun', points: beginningsPerAttempt * perMinute })),
    // Apps and APIs ask a hundred times as often as people: their endpoints are looked for first.
    provider.middleware,
    parts.assets.middleware,
    createSeen({
      key: keyring.derive('doctor'),
      isTrusted: createMatcher(config.TRUSTED_PROXIES),
      untrustedProxies: untrustedProxies.found,
      now,
    }),
    site,
    signIn.routes,
    ...signIn.linkRoutes,
    account,
    forwardAuth,
  ];
  const koa = new Koa({ proxy: true });
  koa.keys = cookieSignaturesOf(keyring);
  for (const middleware of order) if (middleware) koa.use(middleware);
  koa.on('error', (error) => log.error({ cause: error }, 'a response could not be completed'));

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
  let endWatch: (() => void) | undefined;
  return {
    handle(req, res) {
      identify(req);
      readCredentials(req);
      endUnread(req, res);
      void database.bounded(() => handle(req, res));
    },
    start() {
      provider.deliveries.start();
      signIn.passwords.start();
      foundations.restoreGuard.start();
      endWatch = watchKeys({ keyring, rotation: foundations.rotation, log });
    },
    async stop() {
      endWatch?.();
      signIn.passwords.stop();
      foundations.restoreGuard.stop();
      await provider.deliveries.stop();
    },
    reloadFiles: provider.reloadFiles,
  };
}
