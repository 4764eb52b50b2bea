/**
 * Access to PostgreSQL, which holds everything that must survive. A change is written there before it is
 * acknowledged. This file owns the pool, transactions, time limits, and the decision whether the database can serve.
 * The rest of the room owns the cache, migrations, backups, the embedded PostgreSQL and the removal of expired rows.
 * The SQL of a feature belongs to the feature.
 */
import pg from 'pg';
import { createBreaker } from './breaker.ts';
import { type Watch, watchChanges } from './changes.ts';
import { type Address, createAddress, DatabaseConnection, type DatabaseSource } from './connection.ts';
import { inLongTransaction, onOwnConnection, plainQuery } from './maintenance.ts';
import { createProbe } from './probe.ts';
import {
  ask,
  connectionOf,
  isViaPooler,
  limitOf,
  type Query,
  queryOn,
  releaseLater,
  runStatement,
  type StatementRunner,
} from './run_statement.ts';
import { asUnavailable, isStalePlan, isUnavailable, isUndone } from './unavailable.ts';
import { createWaitBudget } from './wait_budget.ts';

export type { Query } from './run_statement.ts';

export interface Database {
  query: Query;
  /**
   * Like `query`, but PostgreSQL plans the statement anew each time. Use it for tables that are often empty: a plan that was
   * kept from then reads the whole table once it is full.
   */
  queryPlannedAnew: Query;
  /**
   * Runs `work` in one transaction: committed when it returns, rolled back when it throws. If PostgreSQL undoes the transaction
   * because of a conflict, `work` is run once more.
   */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** Runs `work`, such as a request. Its statements together may wait for as long as these callers do. */
  bounded<T>(callers: keyof StorageTimeouts['requestMs'], work: () => Promise<T>): Promise<T>;
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

/** Small, so that many instances fit into PostgreSQL's default of 100 connections. */
export const defaultPoolSize = 10;
/** If an instance hangs within a transaction, its locks are released after this time. */
const idleInTransactionMs = 2000;
/**
 * A new connection costs PostgreSQL 10 to 20 ms of CPU, because it parses and plans all statements again. pg's
 * default closes an idle connection after ten seconds, so that each burst of requests would wait for new connections.
 */
const connectionIdleMs = 600_000;

/** How long to wait for PostgreSQL, in milliseconds. */
export interface StorageTimeouts {
  /** Until a database that answers nothing at all counts as gone. Then nobody waits for it. */
  goneMs: number;
  /** For a connection, and for the answer to a statement. */
  statementMs: number;
  /** For all statements of one request together: of an app, or of a person who looks at a page. */
  requestMs: { app: number; person: number };
}

/** A slow database is waited for. One that is gone is not: then every request is answered within a second. */
export const timeoutsOfServer: StorageTimeouts = {
  goneMs: 850,
  statementMs: 3000,
  requestMs: { app: 3000, person: 5000 },
};

/** Nobody else waits for a command. Whoever runs it would only run it again. */
export const timeoutsOfCommand: StorageTimeouts = {
  goneMs: 10_000,
  statementMs: 30_000,
  requestMs: { app: 30_000, person: 30_000 },
};

export interface DatabaseOptions {
  /** The default suits a server. Tests that are not about outages wait longer, because their machine may be busy. */
  timeouts?: StorageTimeouts | undefined;
  /** The most connections that statements of requests use. */
  poolSize?: number | undefined;
  /** Whether the server is still starting. Until it serves, a statement has its whole time, and nothing counts as gone. */
  isStarting?(): boolean;
  /** Called when a connection is lost while nothing runs on it. */
  onIdleError(error: Error): void;
  /** Called with the duration of each statement in seconds, and whether it succeeded. */
  observe?(seconds: number, ok: boolean): void;
}

/** Opens a pool on the database at `source`. Nothing connects until the first query. */
export function openDatabase(source: DatabaseSource, options: DatabaseOptions): Database {
  const { onIdleError, observe = () => {}, timeouts = timeoutsOfServer, isStarting = () => false } = options;
  const { statementMs, requestMs } = timeouts;
  const goneMs = () => (isStarting() ? Number.POSITIVE_INFINITY : timeouts.goneMs);
  const address = createAddress(source);
  const pool = openPool(address, statementMs, options.poolSize);
  // The pool replaces an idle connection that is lost. Without a listener, the event would end the process.
  pool.on('error', onIdleError);
  const lossListeners: (() => void)[] = [];
  pool.on('connect', (client) =>
    client.on('error', () => {
      for (const listener of lossListeners) listener();
    }),
  );
  const probe = createProbe(
    () => new DatabaseConnection({ address, name: 'cypher probe', connectMs: goneMs() }),
  );
  const breaker = createBreaker(probe.ask, goneMs);
  const waitBudget = createWaitBudget();
  const runner: StatementRunner = { breaker, waitBudget, observe, statementMs };
  const watches: Watch[] = [];
  const own = { address, name: 'cypher', connectMs: statementMs, onIdleError };
  return {
    query: queryOn(pool, runner),
    queryPlannedAnew: queryOn(pool, { ...runner, plansAnew: true }),
    bounded: (callers, work) => waitBudget.bounded(requestMs[callers], work),
    transaction: (work) => inTransaction(pool, runner, work),
    maintain: (text, values) =>
      onOwnConnection(own, async (client) => void (await plainQuery(client)(text, values))),
    longTransaction: (work) =>
      onOwnConnection(own, (client) => inLongTransaction(client, '', () => work(plainQuery(client)))),
    onConnectionLost: (listener) => void lossListeners.push(listener),
    watch(channel, onChange) {
      const watch = watchChanges(address, channel, onChange);
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
      probe.close();
      await Promise.all(watches.map((watch) => watch.close()));
      await pool.end();
    },
  };
}

function openPool(address: Address, statementMs: number, poolSize = defaultPoolSize): pg.Pool {
  // PostgreSQL is the first to give up on a statement that waits for a lock. If we gave up first, the statement could still
  // run: a code would be used although its request was refused.
  const limits = { statementMs: limitOf(statementMs), idleInTransactionMs };
  return new pg.Pool({
    Client: class extends DatabaseConnection {
      constructor() {
        super({ address, name: 'cypher', connectMs: statementMs, limits });
      }
    },
    max: poolSize,
    connectionTimeoutMillis: statementMs,
    idleTimeoutMillis: connectionIdleMs,
  });
}

async function connect(pool: pg.Pool, runner: StatementRunner): Promise<pg.PoolClient> {
  runner.breaker.check();
  const connecting = connectionOf(pool, runner);
  try {
    return await runner.waitBudget.wait(connecting);
  } catch (error) {
    releaseLater(connecting);
    throw asUnavailable(error);
  }
}

async function inTransaction<T>(
  pool: pg.Pool,
  runner: StatementRunner,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  try {
    return await transactionOnce(pool, runner, work);
  } catch (error) {
    if (!isUndone(error)) throw error;
    return transactionOnce(pool, runner, work);
  }
}

async function transactionOnce<T>(
  pool: pg.Pool,
  runner: StatementRunner,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  const client = await connect(pool, runner);
  let broken: Error | undefined;
  try {
    await runStatement(client, runner, isViaPooler(client) ? limitedBegin(runner) : 'begin');
    const result = await work(queryOn(client, runner));
    await runStatement(client, runner, 'commit');
    return result;
  } catch (error) {
    // A connection that does not answer would not answer a rollback either. Closing the connection also rolls back.
    if (isUnavailable(error) || isStalePlan(error)) broken = error as Error;
    else
      await ask(client, { text: 'rollback' }, runner.statementMs).catch((failure: Error) => {
        broken = failure;
      });
    throw error;
  } finally {
    client.release(broken);
  }
}

/** Behind a pooler the session is ours for one transaction only, so its limits are set in the transaction. */
const limitedBegin = ({ statementMs }: StatementRunner): string =>
  `begin; set local statement_timeout = ${limitOf(statementMs)};
   set local idle_in_transaction_session_timeout = ${idleInTransactionMs}`;
