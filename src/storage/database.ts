/**
 * PostgreSQL: the truth. Everything that must survive is written here before it is acknowledged. This room owns the pool,
 * transactions and the question whether the database can serve. Features write their own SQL.
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
  /** Runs one statement of maintenance, outside any transaction, on a connection of its own, for as long as it takes. */
  maintain(text: string, values?: readonly unknown[]): Promise<void>;
  /** Calls `onChange` for every change on this channel that any instance makes, until `close`. */
  watch(channel: string, onChange: (what: string | undefined) => void): Pick<Watch, 'reliable'>;
  /** As `transaction`, on a connection of its own and for as long as it takes. */
  longTransaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** Called whenever a connection of the pool was cut: the next answer may come from another server. */
  onConnectionLost(listener: () => void): void;
  /** How the pool's connections are used. */
  pool(): { total: number; idle: number; waiting: number };
  close(): Promise<void>;
}

const poolSize = 20;
/**
 * A new connection costs PostgreSQL 10 to 20 ms of CPU until it has parsed and planned what it is asked. With pg's default, the
 * connections of a rush would be closed ten seconds later, and the next rush would wait for new ones.
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
  /** Default: what a server needs. Tests that are not about outages wait longer, because their machine may be busy. */
  timeouts?: StorageTimeouts | undefined;
  /** Called when a connection is lost while nothing runs on it. */
  onIdleError(error: Error): void;
  /** Called with the duration of each statement. */
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
    pool: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
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
    // Some networks drop idle connections, after four minutes for example, and notify nobody.
    keepAlive: true,
    keepAliveInitialDelayMillis: 60_000,
    // Shorter than the wait here, so that PostgreSQL is the first to give up a statement that waits for a lock. If this process
    // gave up first, the statement could still be done, and would use up what the request was refused with.
    statement_timeout: statementMs - 50,
    // An instance that hangs within a transaction locks its rows for no longer than this.
    idle_in_transaction_session_timeout: 2000,
    application_name: 'cypher',
  });
  // The pool replaces a connection that is cut while it idles. The next statement finds out about one that is in use. Without a
  // listener either would end the process.
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
    // Nobody waits for this connection any more: when it comes, it goes back to the pool.
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
    // A connection that has stopped answering would keep the rollback waiting too. Closing it rolls back as well.
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
