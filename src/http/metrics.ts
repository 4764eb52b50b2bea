/**
 * Metrics for Prometheus, on an address and port of their own, so that they are never public by accident. They count
 * what the guarantees are about (logins, failures by reason, rotations, reuse, revocations), and show the state of
 * storage and of the event loop.
 */
import { createServer, type Server } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { DatabaseState } from '../storage/database_state.ts';

/** What is not counted but read, at each reading of the metrics. */
export interface States {
  /** Connections of the pool by state, and requests that wait for one. */
  pool(): Record<string, number>;
  /** Whether requests are refused at once because PostgreSQL does not answer. */
  breakerOpen(): boolean;
  cacheDegraded(): boolean;
  /** Rejects while PostgreSQL does not answer. */
  database(): Promise<DatabaseState>;
  /** The age of each signing key in seconds, by kind. */
  keyAges(): Record<string, number>;
}

const latencySeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

export type Metrics = ReturnType<typeof createMetrics>;

/** `version`: of this server. */
export function createMetrics(version: string) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'cypher_' });
  const registers = [registry];
  new Gauge({
    name: 'cypher_build_info',
    help: '1, with the version of this server.',
    labelNames: ['version'],
    registers,
  }).set({ version }, 1);
  const { requests, requestSeconds, ...events } = createEventCounters(registers);
  const files = new Gauge({
    name: 'cypher_file_info',
    help: '1, with a keyed hash of the file in use, by its setting. All instances must have the same one.',
    labelNames: ['setting', 'hash'],
    registers,
  });
  const storage = new Histogram({
    name: 'cypher_storage_seconds',
    help: 'How long PostgreSQL and Redis took to answer.',
    labelNames: ['store', 'outcome'],
    buckets: latencySeconds,
    registers,
  });
  // Looked up once, because every statement is observed.
  const outcomesOf = (store: string) => ({
    ok: storage.labels(store, 'ok'),
    error: storage.labels(store, 'error'),
  });
  const storageBy = { postgresql: outcomesOf('postgresql'), redis: outcomesOf('redis') };
  return {
    registry,
    observeRequest(route: string, status: number, seconds: number): void {
      requests.inc({ route, status });
      requestSeconds.observe({ route }, seconds);
    },
    ...events,
    /** Shows the hashes of the files in use, by their settings, in place of those before. */
    showFiles(hashes: Readonly<Partial<Record<string, string>>>): void {
      files.reset();
      for (const [setting, hash] of Object.entries(hashes)) if (hash) files.set({ setting, hash }, 1);
    },
    /** Observes one call to a store: the seconds that it took, and whether it succeeded. */
    observeStorage: (store: 'postgresql' | 'redis', seconds: number, ok: boolean): void =>
      storageBy[store][ok ? 'ok' : 'error'].observe(seconds),
    /** Says where to read states whenever the metrics are read. */
    watch: createStateGauges(registers),
  };
}

/** The counters of requests and of events. */
function createEventCounters(registers: Registry[]) {
  return {
    requests: new Counter({
      name: 'cypher_http_requests_total',
      help: 'Answered requests by route and status; those that belong to no route are "none".',
      labelNames: ['route', 'status'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'cypher_http_request_seconds',
      help: 'How long requests took, by route.',
      labelNames: ['route'],
      buckets: [0.005, 0.025, 0.1, 0.5, 2.5, 10],
      registers,
    }),
    steps: new Counter({
      name: 'cypher_interaction_steps_total',
      help: 'Steps of logins and sign-ups by outcome: ok, or the code of the error.',
      labelNames: ['step', 'outcome'],
      registers,
    }),
    account: new Counter({
      name: 'cypher_account_actions_total',
      help: 'What people did on their account page, by outcome: ok, or the code of the error.',
      labelNames: ['action', 'outcome'],
      registers,
    }),
    logins: new Counter({ name: 'cypher_logins_total', help: 'Completed logins.', registers }),
    overloaded: new Counter({
      name: 'cypher_overloaded_total',
      help: 'Starts of sign-ins and sign-ups that were refused because too many were under way.',
      registers,
    }),
    refreshes: new Counter({
      name: 'cypher_refreshes_total',
      help: 'Presented refresh tokens: rotated, repeated (the same successor again), reused (the family was ended).',
      labelNames: ['outcome'],
      registers,
    }),
    oauthErrors: new Counter({
      name: 'cypher_oauth_errors_total',
      help: 'Refusals of the OAuth endpoints by error.',
      labelNames: ['error'],
      registers,
    }),
    ended: new Counter({
      name: 'cypher_ended_total',
      help: 'Sessions signed out, and tokens given back by their client.',
      labelNames: ['event'],
      registers,
    }),
    heartbeats: new Counter({
      name: 'cypher_heartbeats_total',
      help: 'Heartbeats of this instance, one a second: ok, or failed where PostgreSQL could not commit one.',
      labelNames: ['outcome'],
      registers,
    }),
    deliveries: new Counter({
      name: 'cypher_deliveries_total',
      help: 'Attempts to tell apps of ended sessions and answered requests: delivered, failed (tried again), given_up.',
      labelNames: ['kind', 'outcome'],
      registers,
    }),
    forwardAuth: new Counter({
      name: 'cypher_forward_auth_total',
      help: "A proxy's questions: allowed, denied, sign_in, step_up; and entered, for each new cookie.",
      labelNames: ['outcome'],
      registers,
    }),
  };
}

/** Gauges of states, and the function that says where to read them. */
function createStateGauges(registers: Registry[]): (states: Partial<States>) => void {
  const watched: Partial<States> = {};
  let asked: Promise<DatabaseState | undefined> | undefined;
  // PostgreSQL is asked once for all gauges. They are read at the same time.
  function database(): Promise<DatabaseState | undefined> {
    asked ??= (watched.database?.() ?? Promise.reject()).catch(() => undefined);
    asked.finally(() => {
      asked = undefined;
    });
    return asked;
  }
  const gauge = (
    { label, ...named }: { name: string; help: string; label?: string },
    read: () => Promise<Record<string, number>> | Record<string, number>,
  ) =>
    new Gauge({
      ...named,
      labelNames: label === undefined ? [] : [label],
      registers,
      async collect() {
        const values = await read();
        this.reset();
        for (const [value, count] of Object.entries(values))
          this.set(label === undefined ? {} : { [label]: value }, count);
      },
    });
  const oneOrZero = (flag: boolean | undefined) => (flag === undefined ? {} : { '': flag ? 1 : 0 });
  gauge(
    {
      name: 'cypher_database_connections',
      help: 'Connections of the pool, and requests that wait for one.',
      label: 'state',
    },
    () => watched.pool?.() ?? {},
  );
  gauge(
    { name: 'cypher_database_breaker_open', help: '1 while requests are refused because PostgreSQL hangs.' },
    () => oneOrZero(watched.breakerOpen?.()),
  );
  gauge(
    {
      name: 'cypher_database_role',
      help: '1 for the role of the PostgreSQL that is used: primary or standby.',
      label: 'role',
    },
    async () => {
      const state = await database();
      return state
        ? { primary: Number(state.role === 'primary'), standby: Number(state.role === 'standby') }
        : {};
    },
  );
  gauge(
    {
      name: 'cypher_sweep_overdue_seconds',
      help: 'How long the oldest expired row of a table has been waiting for its deletion.',
      label: 'table',
    },
    async () => (await database())?.overdueSeconds ?? {},
  );
  gauge(
    { name: 'cypher_key_age_seconds', help: 'The age of the signing key of a kind.', label: 'kind' },
    () => watched.keyAges?.() ?? {},
  );
  gauge(
    { name: 'cypher_cache_degraded', help: '1 while Redis is configured and cannot be written to.' },
    () => oneOrZero(watched.cacheDegraded?.()),
  );
  return (states) => void Object.assign(watched, states);
}

/** Serves /metrics on its own port. Rejects if the port is in use. */
export async function serveMetrics({ registry }: Metrics, host: string, port: number): Promise<Server> {
  const server = createServer(async (req, res) => {
    if (req.method !== 'GET' || req.url !== '/metrics') {
      res.writeHead(404).end();
      return;
    }
    res.setHeader('Content-Type', registry.contentType);
    res.end(await registry.metrics());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return server;
}
