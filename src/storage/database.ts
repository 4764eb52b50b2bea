/**
 * Access to PostgreSQL, which holds everything that must survive. A change is written there before it is
 * acknowledged. This file owns the pool, transactions, time limits, and the decision whether the database can serve.
 * The rest of the room owns the cache, migrations, backups, the embedded PostgreSQL and the removal of expired rows.
 * The SQL of a feature belongs to the feature.
 */
import pg from 'pg';
import { createBreaker } from './breaker.ts';
import { type Watch, watchChanges } from './changes.ts';
import { inLongTransaction, onOwnConnection, plainQuery } from './maintenance.ts';
import { ask, askPool, type Query, queryOn, runStatement, type StatementRunner } from './run_statement.ts';
import { asUnavailable, isUnavailable } from './unavailable.ts';
import { createWaitBudget } from './wait_budget.ts';

export type { Query } from './run_statement.ts';

export interface Database {
  query: Query;
  /** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** Runs `work`, such as a request. Its statements together may wait for `requestMs`. */
  bounded<T>(work: () => Promise<T>): Promise<T>;
  /** Runs one statement on a connection of its own, outside a transaction and without our time limits. */
  maintain(text: string, values?: readonly unknown[]): Promise<void>;
  /** Calls `onChange` for every notification on this channel, until `close`. Undefined: anything may have changed. */
  watch(channel: string, onChange: (what: string | undefined) => void): Pick<Watch, 'reliable'>;
  /** Like `transaction`, but on a connection of its own and without our time limits. */
  longTransaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** `listener` is called when a connection of the pool was lost. The next answer may come from another server. */
  onConnectionLost(listener: () => void): void;
  /** How many connections the pool has at most and now, how many are in use and idle, and how many requests wait for one. */
  pool(): Record<'limit' | 'total' | 'in_use' | 'idle' | 'waiting', number>;
  /** Whether requests are refused at once because PostgreSQL does not answer. */
  breakerOpen(): boolean;
  close(): Promise<void>;
}

const poolSize = 20;
/**
 * A new connection costs PostgreSQL 10 to 20 ms of CPU, because it parses and plans all statements again. pg's
 * default closes an idle connection after ten seconds, so that each burst of requests would wait for new connections.
 */
const connectionIdleMs = 600_000;

/** How long to wait for PostgreSQL, in milliseconds. */
export interface StorageTimeouts {
  /** For a connection, and for the answer to a statement. */
  statementMs: number;
  /** For all statements of one request together. */
  requestMs: number;
}

/** During an outage every request is answered within a second. */
const answerWithinASecond: StorageTimeouts = { statementMs: 800, requestMs: 900 };

export interface DatabaseOptions {
  /** The default suits a server. Tests that are not about outages wait longer, because their machine may be busy. */
  timeouts?: StorageTimeouts | undefined;
  /** Called when a connection is lost while nothing runs on it. */
  onIdleError(error: Error): void;
  /** Called with the duration of each statement in seconds, and whether it succeeded. */
  observe?(seconds: number, ok: boolean): void;
}

/** Opens a pool on `url`. Nothing connects until the first query. */
export function openDatabase(
  url: string,
  { onIdleError, observe = () => {}, timeouts = answerWithinASecond }: DatabaseOptions,
): Database {
  const { statementMs, requestMs } = timeouts;
  const pool = openPool(url, statementMs, onIdleError);
  const lossListeners: (() => void)[] = [];
  pool.on('connect', (client) =>
    client.on('error', () => {
      for (const listener of lossListeners) listener();
    }),
  );
  const breaker = createBreaker(() => askPool(pool, { text: 'select 1' }, statementMs));
  const waitBudget = createWaitBudget(requestMs);
  const runner: StatementRunner = { breaker, waitBudget, observe, statementMs };
  const watches: Watch[] = [];
  const own = { url, connectMs: statementMs, onIdleError };
  return {
    query: queryOn(pool, runner),
    bounded: waitBudget.bounded,
    transaction: (work) => inTransaction(pool, runner, work),
    maintain: (text, values) =>
      onOwnConnection(own, async (client) => void (await plainQuery(client)(text, values))),
    longTransaction: (work) =>
      onOwnConnection(own, (client) => inLongTransaction(client, '', () => work(plainQuery(client)))),
    onConnectionLost: (listener) => void lossListeners.push(listener),
    watch(channel, onChange) {
      const watch = watchChanges(url, channel, onChange);
      watches.push(watch);
      return watch;
    },
    pool: () => ({
      limit: pool.options.max,
      total: pool.totalCount,
      in_use: pool.totalCount - pool.idleCount,
      idle: pool.idleCount,
      waiting: pool.waitingCount,
    }),
    breakerOpen: breaker.isOpen,
    async close() {
      breaker.stop();
      await Promise.all(watches.map((watch) => watch.close()));
      await pool.end();
    },
  };
}

function openPool(url: string, statementMs: number, onIdleError: (error: Error) => void): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: statementMs,
    idleTimeoutMillis: connectionIdleMs,
    // Some networks drop idle connections silently, for example after four minutes.
    keepAlive: true,
    keepAliveInitialDelayMillis: 60_000,
    // Shorter than our own timeout, so that PostgreSQL is the first to give up on a statement that waits for a lock.
    // If we gave up first, the statement could still run: a code would be used although its request was refused.
    statement_timeout: statementMs - 50,
    // If an instance hangs within a transaction, its locks are released after this time.
    idle_in_transaction_session_timeout: 2000,
    application_name: 'cypher',
  });
  // The pool replaces an idle connection that is lost. Without a listener, the event would end the process.
  pool.on('error', onIdleError);
  return pool;
}

async function connect(pool: pg.Pool, { breaker, waitBudget }: StatementRunner): Promise<pg.PoolClient> {
  breaker.check();
  const connecting = pool.connect();
  try {
    return await waitBudget.wait(connecting);
  } catch (error) {
    breaker.failed(error);
    // The caller has given up on this connection. Once it is there, it goes back to the pool.
    connecting.then(
      (client) => client.release(),
      () => {},
    );
    throw asUnavailable(error);
  }
}

async function inTransaction<T>(
  pool: pg.Pool,
  runner: StatementRunner,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  const client = await connect(pool, runner);
  let broken: Error | undefined;
  try {
    await runStatement(client, runner, 'begin');
    const result = await work(queryOn(client, runner));
    await runStatement(client, runner, 'commit');
    return result;
  } catch (error) {
    // A connection that does not answer would not answer a rollback either. Closing the connection also rolls back.
    if (isUnavailable(error)) broken = error;
    else
      await ask(client, { text: 'rollback' }, runner.statementMs).catch((failure: Error) => {
        broken = failure;
      });
    throw error;
  } finally {
    client.release(broken);
  }
}
