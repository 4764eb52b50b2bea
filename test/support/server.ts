/**
 * The whole server for a test: the real app on PostgreSQL and Redis, on a port of its own, with a clock that the test
 * can set.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buildApp } from '../../src/app.ts';
import { type Audit, createAudit } from '../../src/audit/audit.ts';
import { fileClientSchema } from '../../src/config/client_schema.ts';
import { forwardAuthSchema } from '../../src/config/forward_auth.ts';
import type { Config } from '../../src/config/load.ts';
import { redisTarget } from '../../src/config/redis.ts';
import { resourceSchema, settingsSchema } from '../../src/config/schema.ts';
import { createMetrics, type Metrics } from '../../src/http/metrics.ts';
import type { Outgoing } from '../../src/http/outgoing.ts';
import { createLog } from '../../src/lib/log.ts';
import { installNativeGroup } from '../../src/opaque/native_group.ts';
import { noCache, openRedisCache } from '../../src/storage/cache.ts';
import { type Database, openDatabase, type StorageTimeouts } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { version } from '../../src/version.ts';
import { createMigratedDatabase, createRedisDatabase, generousTimeouts } from './databases.ts';

export interface TestClock {
  now(): number;
  advance(seconds: number): void;
}

export interface TestServer {
  url: string;
  clock: TestClock;
  database: Database;
  audit: Audit;
  metrics: Metrics;
  /** What the server wrote to its log at level trace. */
  logged(): string;
  close(): Promise<void>;
}

export interface ServerOptions {
  clients?: object[];
  resources?: object[];
  /** FORWARD_AUTH_FILE. */
  forwardAuth?: object;
  /** Of the files that the clients and APIs would come from. */
  digests?: Config['digests'];
  settings?: Record<string, string>;
  /** Another instance's storage, to run beside it under the same issuer. */
  beside?: TestServer;
  /** Another key-encryption key than `kek`, with the one before it. */
  keks?: { kek: Buffer; previousKek?: Buffer };
  /** Storage that the test has made, or a way of its own to that of `beside`. */
  storage?: { databaseUrl: string; redisUrl: string };
  issuer?: string;
  /** No Redis, though the other options name one. */
  withoutRedis?: boolean;
  /** How long PostgreSQL is waited for. Very long unless given: a test that is not about that passes on a busy machine. */
  timeouts?: StorageTimeouts;
  /** How apps' addresses are asked: for strangers' apps that are on this machine. */
  outgoing?: Outgoing;
}

const root = new URL('../..', import.meta.url).pathname;
/** The key-encryption key of every server here. */
export const kek = Buffer.alloc(32, 7);

const stores = new WeakMap<TestServer, { databaseUrl: string; redisUrl: string }>();

/** Starts a server with wide limits; `settings` are environment variables by their names. */
export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  await installNativeGroup();
  const shared = options.storage ?? (options.beside && stores.get(options.beside));
  const created = shared ? undefined : await createMigratedDatabase();
  const databaseUrl = shared?.databaseUrl ?? created?.url ?? '';
  const redisUrl = shared?.redisUrl ?? (await createRedisDatabase());
  // Storage that a test has made may be empty.
  if (options.storage) await migrate(databaseUrl, `${root}migrations`);

  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const config: Config = {
    ...settingsSchema.parse({
      LIMIT_ADDRESS_PER_MINUTE: '100000',
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      ...options.settings,
    }),
    ISSUER: options.issuer ?? options.beside?.url ?? `http://localhost:${port}`,
    clients: (options.clients ?? []).map((client) => fileClientSchema.parse(client)),
    resources: (options.resources ?? []).map((resource) => resourceSchema.parse(resource)),
    digests: options.digests ?? {},
    forwardAuth: options.forwardAuth && forwardAuthSchema.parse(options.forwardAuth),
  };
  let offset = 0;
  const clock = options.beside?.clock ?? {
    now: () => Date.now() + offset,
    advance: (seconds: number) => {
      offset += seconds * 1000;
    },
  };
  let logged = '';
  const log = createLog('trace', {
    write: (line) => {
      logged += line;
    },
  });
  const metrics = createMetrics(version);
  const database = openDatabase(databaseUrl, {
    onIdleError: () => {},
    timeouts: options.timeouts ?? generousTimeouts,
    observe: (seconds, ok) => metrics.observeStorage('postgresql', seconds, ok),
  });
  const redis = redisTarget(config);
  const cache =
    redis && !options.withoutRedis
      ? await openRedisCache(redis, { observe: (...command) => metrics.observeStorage('redis', ...command) })
      : noCache;
  const audit = createAudit(database, log, clock.now);
  const app = await buildApp(config, {
    database,
    cache,
    kek,
    ...options.keks,
    root,
    log,
    audit,
    metrics,
    now: clock.now,
    stopping: () => false,
    ...(options.outgoing && { outgoing: options.outgoing }),
  });
  server.on('request', app.handle);
  app.start();

  const running: TestServer = {
    url: `http://localhost:${port}`,
    clock,
    database,
    audit,
    metrics,
    logged: () => logged,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await app.stop();
      await audit.flush();
      await cache.close();
      await database.close();
      await created?.drop();
    },
  };
  stores.set(running, { databaseUrl, redisUrl });
  return running;
}
