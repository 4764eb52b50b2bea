/**
 * PostgreSQL: the truth. Everything that must survive is written here before it is acknowledged.
 * Features write their own SQL; this file owns the pool, transactions and what counts as "the database is away".
 */
import pg from 'pg';
import { AppError, unavailable } from '../lib/errors.ts';
import { type Breaker, createBreaker } from './breaker.ts';
import { type Watch, watchChanges } from './changes.ts';
import { createPatience, type Patience } from './patience.ts';

/** Runs one statement (prepared once per connection) and returns its rows. Throws AppError 503 when storage is away. */
export type Query = <Row extends object>(text: string, values?: readonly unknown[]) => Promise<Row[]>;

export interface Database {
  query: Query;
  /** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** Runs `work`, a request for instance, whose statements together are waited for no longer than `requestMs`. */
  bounded<T>(work: () => Promise<T>): Promise<T>;
  /** Runs one statement of maintenance, outside any transaction, on a connection of its own, for as long as it takes. */
  maintain(text: string, values?: readonly unknown[]): Promise<void>;
  /** Tells of changes that any instance makes; until `close`. */
  watch(channel: string, onChange: (what: string | undefined) => void): Pick<Watch, 'reliable'>;
  /** As `transaction`, on a connection of its own and for as long as it takes. */
  longTransaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** Called whenever a connection of the pool was cut: what answers next may be another server. */
  onConnectionLost(listener: () => void): void;
  /** How the pool's connections are used. */
  pool(): { total: number; idle: number; waiting: number };
  close(): Promise<void>;
}

const poolSize = 20;
/**
 * A new connection costs PostgreSQL 10 to 20 ms of CPU until it has parsed and planned what it is asked. pg would close those
 * of a rush ten seconds later, and each next little rush would wait for new ones.
 */
const connectionIdleMs = 600_000;
/** How long PostgreSQL is waited for, in milliseconds. */
export interface StorageTimeouts {
  /** For a connection, and for the answer to a statement. */
  statementMs: number;
  /** For all statements of one request together. */
  requestMs: number;
}

/** A request is answered within a second of an outage. */
const answerWithinASecond: StorageTimeouts = { statementMs: 800, requestMs: 900 };

export interface DatabaseOptions {
  /** Default: as a server needs them. A test that is not about outages waits longer, for its machine may be busy. */
  timeouts?: StorageTimeouts | undefined;
  /** Told of connections that were lost while nothing ran on them. */
  onIdleError(error: Error): void;
  /** Told how long each statement took. */
  observe?(seconds: number, ok: boolean): void;
}

/** Opens a pool on `url`. Nothing connects until the first query. */
export function openDatabase(
  url: string,
  { onIdleError, observe = () => {}, timeouts = answerWithinASecond }: DatabaseOptions,
): Database {
  const { statementMs } = timeouts;
  const pool = new pg.Pool({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: statementMs,
    idleTimeoutMillis: connectionIdleMs,
    // Networks forget connections that say nothing, some after four minutes, and tell nobody.
    keepAlive: true,
    keepAliveInitialDelayMillis: 60_000,
    // Shorter than the wait here: a statement that waits for a lock is given up by PostgreSQL first. Were it given up here
    // first, it could still be done, and would use up what a request was refused with.
    statement_timeout: statementMs - 50,
    // An instance that hangs within a transaction keeps rows locked from the others for no longer than this.
    idle_in_transaction_session_timeout: 2000,
    application_name: 'cypher',
  });
  // A connection cut while it idles is replaced by the pool; one that is lent is known to be cut by its next statement.
  // Without a listener either would end the process.
  pool.on('error', onIdleError);
  const lossListeners: (() => void)[] = [];
  pool.on('connect', (client) =>
    client.on('error', () => {
      for (const listener of lossListeners) listener();
    }),
  );
  const breaker = createBreaker(() => askPool(pool, { text: 'select 1' }, statementMs));
  const patience = createPatience(timeouts.requestMs);
  const means = { breaker, patience, observe, statementMs };
  const watches: Watch[] = [];
  const query = runner(pool, means);

  async function connect(): Promise<pg.PoolClient> {
    breaker.check();
    const connecting = pool.connect();
    try {
      return await patience.wait(connecting);
    } catch (error) {
      breaker.failed(error);
      // Nobody waits for it any more: whenever it comes, it is for others.
      connecting.then(
        (client) => client.release(),
        () => {},
      );
      throw asUnavailable(error);
    }
  }

  return {
    query,
    bounded: patience.bounded,
    async transaction(work) {
      const client = await connect();
      let broken: Error | undefined;
      try {
        await run(client, means, 'begin', []);
        const result = await work(runner(client, means));
        await run(client, means, 'commit', []);
        return result;
      } catch (error) {
        // A connection that has stopped answering would keep the rollback waiting too: closing it rolls back as well.
        if (isUnavailable(error)) broken = error;
        else
          await ask(client, { text: 'rollback' }, statementMs).catch((failure: Error) => {
            broken = failure;
          });
        throw error;
      } finally {
        client.release(broken);
      }
    },
    async maintain(text, values = []) {
      const client = new pg.Client({
        connectionString: url,
        connectionTimeoutMillis: statementMs,
        application_name: 'cypher',
      });
      client.on('error', onIdleError);
      try {
        await client.connect();
        await client.query(text, [...values]);
      } finally {
        await client.end();
      }
    },
    async longTransaction(work) {
      const client = new pg.Client({
        connectionString: url,
        connectionTimeoutMillis: statementMs,
        application_name: 'cypher',
      });
      client.on('error', onIdleError);
      try {
        await client.connect();
        return await inLongTransaction(client, '', () =>
          work(async (text, values = []) => (await client.query(text, [...values])).rows),
        );
      } finally {
        await client.end();
      }
    },
    onConnectionLost: (listener) => void lossListeners.push(listener),
    watch(channel, onChange) {
      const watch = watchChanges(url, channel, onChange);
      watches.push(watch);
      return watch;
    },
    pool: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    async close() {
      breaker.stop();
      await Promise.all(watches.map((watch) => watch.close()));
      await pool.end();
    },
  };
}

/**
 * Runs `work` in one transaction of `client`, without limits of time: none but the database's own, for a lock. `mode`:
 * what follows `begin`.
 */
export async function inLongTransaction<T>(
  client: pg.Client,
  mode: string,
  work: () => Promise<T>,
): Promise<T> {
  await client.query(`begin ${mode}`);
  try {
    // Local, so that a pooler in transaction mode hands them to nobody else.
    await client.query('set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0');
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

/** More than this many requests that wait for a connection are answered 503 at once: a queue that long helps nobody. */
const mostWaiting = 1000;

interface Means {
  breaker: Breaker;
  patience: Patience;
  statementMs: number;
  observe(seconds: number, ok: boolean): void;
}

function runner(on: pg.Pool | pg.PoolClient, means: Means): Query {
  return async <Row extends object>(text: string, values: readonly unknown[] = []) => {
    if (on instanceof pg.Pool && on.waitingCount >= mostWaiting) {
      throw unavailable(new Error('too many requests wait for a connection'));
    }
    const started = performance.now();
    let ok = false;
    try {
      const rows = await run<Row>(on, means, text, values);
      ok = true;
      return rows;
    } finally {
      means.observe((performance.now() - started) / 1000, ok);
    }
  };
}

/**
 * The rows of a statement. A database that hangs (stopped, partitioned) does not answer its own statement timeout: after
 * `timeoutMs` this rejects, and the connection is of no further use.
 *
 * It makes a `pg.Query` itself, for speed. pg's own promises and `query_timeout` take 1.16 times as much CPU for a statement, 9
 * of 60 µs, because pg first copies the configuration. Their closures are made in the old heap, where half of all requests then
 * stay until the next full collection. `test/unit/young_requests.test.ts` guards that. To delete it, set `query_timeout` on the
 * pool and return `(await client.query(statement)).rows`.
 */
function ask<Row extends object>(
  client: pg.PoolClient,
  { name, text, values = [] }: pg.QueryConfig,
  timeoutMs: number,
): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('Query read timeout')), timeoutMs);
    const query = new pg.Query<Row>(text, values, (error, result) => {
      clearTimeout(late);
      if (error) reject(error);
      else resolve(result.rows);
    });
    client.query(name === undefined ? query : Object.assign(query, { name }));
  });
}

/** The same on any connection of the pool. */
async function askPool<Row extends object>(
  pool: pg.Pool,
  statement: pg.QueryConfig,
  timeoutMs: number,
): Promise<Row[]> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    return await ask<Row>(client, statement, timeoutMs);
  } catch (error) {
    broken = error as Error;
    throw error;
  } finally {
    client.release(broken);
  }
}

const names = new Map<string, string>();

/** The statements of the code are few and constant, so each text gets a name and is parsed once per connection. */
function statementName(text: string): string {
  let name = names.get(text);
  if (!name) {
    name = `cypher_${names.size + 1}`;
    names.set(text, name);
  }
  return name;
}

async function run<Row extends object>(
  on: pg.Pool | pg.PoolClient,
  { breaker, patience, statementMs }: Means,
  text: string,
  values: readonly unknown[],
): Promise<Row[]> {
  breaker.check();
  const statement = { name: statementName(text), text, values: [...values] };
  const answer =
    on instanceof pg.Pool ? askPool<Row>(on, statement, statementMs) : ask<Row>(on, statement, statementMs);
  // Told by PostgreSQL's own answer, which comes after ours where a request gave up before.
  answer.catch(breaker.failed);
  try {
    return await patience.wait(answer);
  } catch (error) {
    throw asUnavailable(error);
  }
}

// Class 08 connection exceptions, 40001 and 40P01 a conflict that a repetition gets out of, 53 insufficient resources, 57P shutdown and start-up, 57014 statement timeout,
// 25006 a standby that is not yet the primary, 25P03 a transaction that idled, 55000 a database that is closed to connections.
// https://www.postgresql.org/docs/18/errcodes-appendix.html
const awayCodes = /^(08|40001|40P01|53|57P|57014|25006|25P03|55000|58)/;
const awayMessages =
  /timeout exceeded when trying to connect|Connection terminated|Client has encountered a connection error|not queryable|Query read timeout/;

/** The same error, or AppError 503 around it where it says that the database cannot serve now. */
function asUnavailable(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = 'code' in error ? String(error.code) : '';
  const away = awayCodes.test(code) || /^E[A-Z]+$/.test(code) || awayMessages.test(error.message);
  return away ? unavailable(error) : error;
}

const isUnavailable = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'temporarily_unavailable';
