/**
 * Runs the server. This file owns the order of the start, the listening socket, signals, and the graceful stop. What
 * takes long runs concurrently: the embedded PostgreSQL starts while the app's modules load. It does not own what a
 * request goes through.
 */
import { closeSync, openSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { App } from './app.ts';
import { createAudit } from './audit/audit.ts';
import { createAuditRetention } from './audit/retention.ts';
import { databaseSource } from './config/database_source.ts';
import { keyEncryptionKey } from './config/key_encryption_key.ts';
import { type Config, misnamedSettings } from './config/load.ts';
import { redisTarget } from './config/redis.ts';
import { createMetrics, serveMetrics } from './http/metrics.ts';
import { shrinkHeapAfterStart } from './lib/heap.ts';
import { createLog, forTerminal, type Log } from './lib/log.ts';
import { setClock } from './lib/one_clock.ts';
import { installNativeGroup } from './opaque/native_group.ts';
import { root } from './root.ts';
import { noCache, openRedisCache } from './storage/cache.ts';
import { followDatabaseClock } from './storage/clock.ts';
import type { DatabaseSource } from './storage/connection.ts';
import { openDatabase } from './storage/database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './storage/embedded_postgres.ts';
import { migrate } from './storage/migrate.ts';
import { markFileIn } from './storage/restore_marks.ts';
import { createSweeper, sweepEveryMs } from './storage/sweeper.ts';
import { version } from './version.ts';

const stopWithinMs = 10_000;

/**
 * Starts everything. Resolves once requests are answered. Rejects with ConfigError, WrongKeyEncryptionKey, or the
 * error that prevents the start.
 */
export async function serve(config: Config): Promise<void> {
  const kek = keyEncryptionKey(config);
  const cluster = config.DATABASE_URL ? undefined : startEmbeddedPostgres({ dataDir: config.DATA_DIR });
  // If the start fails or is stopped, the embedded PostgreSQL must not stay behind.
  let leaving = false;
  const takeDown = async () => {
    leaving = true;
    await (await cluster?.catch(() => undefined))?.stop();
  };
  // Not `once`: npm forwards a signal that the whole process group has already received. The second must not kill us.
  const stopEarly = () => void takeDown().finally(() => process.exit(0));
  process.on('SIGTERM', stopEarly).on('SIGINT', stopEarly);
  try {
    await start(config, kek, cluster, () => leaving);
  } catch (error) {
    await takeDown();
    throw error;
  }
  process.off('SIGTERM', stopEarly).off('SIGINT', stopEarly);
}

async function start(
  config: Config,
  kek: ReturnType<typeof keyEncryptionKey>,
  cluster: Promise<EmbeddedPostgres> | undefined,
  leaving: () => boolean,
): Promise<void> {
  const log = createLog(config.LOG_LEVEL, process.stdout.isTTY ? await forTerminal() : undefined);
  for (const sentence of misnamedSettings()) log.warn(sentence);
  const [{ embedded, source }, { buildApp, native }] = await Promise.all([
    prepareStorage(config, cluster),
    loadApp(),
  ]);
  if (!native) log.warn('native P-256 arithmetic failed its self-check; logins run on the slow one');

  /** The instance is to leave the load balancer. While it drains, it still serves. */
  let stopping = false;
  let closing = false;
  let starting = true;
  const stores = await openStores(config, source, log, {
    isEnding: () => closing || leaving(),
    isStarting: () => starting,
  });
  const { database, audit, metrics, now } = stores;
  const app = await buildApp(config, {
    ...stores,
    kek: kek.key,
    previousKek: config.KEY_ENCRYPTION_KEY_PREVIOUS,
    markFile: markFileIn(config.DATA_DIR),
    root,
    log,
    stopping: () => stopping,
  });
  starting = false;
  const server = await listen(config, (req, res) => {
    // A load balancer keeps connections. Each of them ends with its next answer, so that none is cut off later.
    if (stopping) res.shouldKeepAlive = false;
    app.handle(req, res);
  });
  const metricsServer =
    config.METRICS_PORT && (await serveMetrics(metrics, config.METRICS_HOST, config.METRICS_PORT));
  const days = config.AUDIT_RETENTION_DAYS;
  const retention = createAuditRetention({ database, audit, days, log, now });
  const sweeper = createSweeper(database, log, now);
  sweeper.start(sweepEveryMs);
  await retention.hold().catch((cause) => {
    if (!leaving()) log.warn({ cause }, 'the audit log’s retention could not be set');
  });
  retention.start();
  app.start();
  shrinkHeapAfterStart(1000);
  for (const line of announcement(config, kek.path)) log.info(line);

  const stop = async (signal: string) => {
    if (stopping) return;
    stopping = true;
    const drainSeconds = signal === 'SIGTERM' ? config.DRAIN_SECONDS : 0;
    if (drainSeconds > 0)
      log.info({ signal, drainSeconds }, 'draining: not ready any more, requests are served');
    await sleep(drainSeconds * 1000);
    closing = true;
    log.info({ signal }, 'stopping: no new connections, requests in flight are finished');
    setTimeout(() => process.exit(1), stopWithinMs).unref();
    sweeper.stop();
    retention.stop();
    stores.clock.stop();
    await closeServer(server);
    if (metricsServer) metricsServer.close();
    await app.stop();
    await audit.flush();
    await Promise.allSettled([database.close(), stores.cache.close()]);
    await embedded?.stop();
    log.info('stopped');
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const onTerminal = process.stdin.isTTY;
  process.on('SIGHUP', () => void (onTerminal && !hasTerminal() ? stop('SIGHUP') : app.reloadFiles()));
}

async function prepareStorage(config: Config, cluster: Promise<EmbeddedPostgres> | undefined) {
  const embedded = await cluster;
  const source = databaseSource(config) ?? embedded?.url ?? '';
  await migrate(source, join(root, 'migrations'));
  return { embedded, source };
}

async function loadApp() {
  const { buildApp } = await import('./app.ts');
  // Not concurrently with the import: it needs modules that are completely loaded.
  return { buildApp, native: await installNativeGroup() };
}

/** Opens the database, the cache, the clock and the audit log. `isEnding`: whether lost connections are expected. */
async function openStores(
  config: Config,
  source: DatabaseSource,
  log: Log,
  { isEnding, isStarting }: { isEnding(): boolean; isStarting(): boolean },
) {
  const metrics = createMetrics(version);
  const database = openDatabase(source, {
    poolSize: config.DATABASE_POOL_SIZE,
    isStarting,
    onIdleError(cause) {
      if (!isEnding()) log.warn({ cause }, 'a database connection was lost');
    },
    observe: (seconds, ok) => metrics.observeStorage('postgresql', seconds, ok),
  });
  const redis = redisTarget(config);
  const [clock, cache] = await Promise.all([
    followDatabaseClock(database),
    redis
      ? openRedisCache(redis, {
          onChange: (state, cause) => log.warn({ state, cause }, 'the cache changed its state'),
          observe: (seconds, ok) => metrics.observeStorage('redis', seconds, ok),
        })
      : noCache,
  ]);
  const { now } = clock;
  setClock(now);
  return { database, cache, audit: createAudit(database, log, now), metrics, clock, now };
}

async function listen({ HOST, PORT }: Config, handle: App['handle']): Promise<Server> {
  const server = createServer(
    { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 65_000 },
    handle,
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(PORT, HOST, resolve);
  });
  return server;
}

async function closeServer(server: Server): Promise<void> {
  // A busy connection becomes idle after its answer, so idle connections are closed repeatedly.
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  await new Promise((resolve) => server.close(resolve));
  clearInterval(idle);
}

/** SIGHUP means either that the operator asks for a reload, or that the terminal was closed. This tells which. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

/** The lines that a person reads after the start: addresses, defaults that are not for production, and next steps. */
function announcement(config: Config, kekPath: string | undefined): string[] {
  const lines = [
    `Cypher ${version} answers at ${config.ISSUER} (discovery: ${config.ISSUER}/.well-known/openid-configuration), listening on ${config.HOST}:${config.PORT}`,
  ];
  if (!config.DATABASE_URL)
    lines.push(`no DATABASE_URL: PostgreSQL runs embedded in ${config.DATA_DIR}; for one process`);
  if (kekPath)
    lines.push(
      `no KEY_ENCRYPTION_KEY: it is in ${kekPath}; back it up, without it the database cannot be read`,
    );
  lines.push(
    `what to do next: open ${config.ISSUER} and choose Sign in, then Create account; add an app with \`npx cypher client add\`; have the installation checked with \`npx cypher doctor\``,
  );
  return lines;
}
