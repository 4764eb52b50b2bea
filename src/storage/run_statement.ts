/** Runs one prepared statement on a connection or on the pool, with a time limit. Classifies its errors. */
import { createHash } from 'node:crypto';
import pg from 'pg';
import { unavailable } from '../lib/errors.ts';
import type { Breaker } from './breaker.ts';
import { DatabaseConnection } from './connection.ts';
import { deadline } from './late.ts';
import { PooledQuery } from './pooled_query.ts';
import { asUnavailable, isUndone } from './unavailable.ts';
import type { WaitBudget } from './wait_budget.ts';

/**
 * Runs one statement and returns its rows. The statement is prepared once for each connection, so its text must be
 * constant. Throws AppError 503 if PostgreSQL cannot serve.
 */
export type Query = <Row extends object>(text: string, values?: readonly unknown[]) => Promise<Row[]>;

export interface StatementRunner {
  breaker: Breaker;
  waitBudget: WaitBudget;
  /** How long one statement may take. */
  statementMs: number;
  /** True if PostgreSQL plans each statement anew, and keeps none prepared. */
  plansAnew?: boolean;
  observe(seconds: number, ok: boolean): void;
}

/**
 * If so many statements wait for a connection, the next one fails at once with 503: the queue must not grow forever.
 */
const mostWaiting = 1000;

/** A `Query` that takes any connection of the pool for each statement, or always this connection. */
export function queryOn(on: pg.Pool | pg.PoolClient, runner: StatementRunner): Query {
  return async <Row extends object>(text: string, values: readonly unknown[] = []) => {
    if (on instanceof pg.Pool && on.waitingCount >= mostWaiting) {
      throw unavailable(new Error('too many requests wait for a connection'));
    }
    const started = performance.now();
    let ok = false;
    try {
      const rows = await runStatement<Row>(on, runner, text, values);
      ok = true;
      return rows;
    } finally {
      runner.observe((performance.now() - started) / 1000, ok);
    }
  };
}

/** Runs one statement within the wait budget. Does not measure it. Throws AppError 503 if PostgreSQL is down. */
export async function runStatement<Row extends object>(
  on: pg.Pool | pg.PoolClient,
  runner: StatementRunner,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  runner.breaker.check();
  const statement = { text, values: [...values], name: runner.plansAnew ? undefined : statementName(text) };
  const answer =
    on instanceof pg.Pool
      ? askPool<Row>(on, statement, runner)
      : runner.breaker.watch(ask<Row>(on, statement, runner.statementMs));
  try {
    return await runner.waitBudget.wait(answer);
  } catch (error) {
    throw asUnavailable(error);
  }
}

const names = new Map<string, string>();

/**
 * Names a statement, so that PostgreSQL parses it once for each connection. The code has few, constant texts. The name
 * follows from the text, so it cannot mean another text, whoever has used the session before.
 */
function statementName(text: string): string {
  let name = names.get(text);
  if (!name) {
    name = `cypher_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
    names.set(text, name);
  }
  return name;
}

interface StatementToAsk {
  text: string;
  values?: unknown[];
  /** Without a name, PostgreSQL plans the statement anew each time. */
  name?: string | undefined;
}

/** PostgreSQL ends a statement this much earlier than we give up. Otherwise it could still run after we have given up. */
const earlierMs = 50;
/** How long PostgreSQL lets a statement run if we wait for `statementMs`. */
export const limitOf = (statementMs: number): number => Math.max(1, statementMs - earlierMs);

/**
 * The rows of a statement. A database that hangs (stopped, or cut off from the network) does not enforce its own
 * statement timeout. So this rejects after `timeoutMs`. Close the connection then.
 *
 * It makes a `pg.Query` itself, for speed. pg's own promises and `query_timeout` take 1.16 times as much CPU for a
 * statement, 9 of 60 µs, because pg first copies the configuration. Also, V8 allocates their closures in the old
 * heap. Half of all requests would then stay there until the next full collection. `test/unit/young_requests.test.ts`
 * guards that. To delete it, set `query_timeout` on the pool and return `(await client.query(statement)).rows`.
 */
export function ask<Row extends object>(
  client: pg.PoolClient,
  { text, values = [], name }: StatementToAsk,
  timeoutMs: number,
): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    const cancel = deadline(timeoutMs, () => reject(new Error('Query read timeout')));
    const query = new pg.Query<Row>(text, values, (error, result) => {
      cancel();
      if (error) reject(error);
      else if (isUnconfirmed(client)) reject(unconfirmed());
      else resolve(result.rows);
    });
    // Behind a pooler the next statement may run in another session, where the name is not known.
    client.query(name === undefined || isViaPooler(client) ? query : Object.assign(query, { name }));
  });
}

/** The pool makes connections of our own class, which pg's types do not know. */
export const isViaPooler = (client: pg.PoolClient): boolean =>
  client instanceof DatabaseConnection && client.viaPooler;
const isUnconfirmed = (client: pg.PoolClient): boolean =>
  client instanceof DatabaseConnection && client.isUnconfirmed;

const unconfirmed = () =>
  unavailable(new Error('PostgreSQL has committed, but no standby has confirmed it within the time limit'));

/** Like `ask`, with a time limit that PostgreSQL enforces on this statement alone. */
function askPooler<Row extends object>(
  client: pg.PoolClient,
  { text, values = [] }: StatementToAsk,
  timeoutMs: number,
): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    const cancel = deadline(timeoutMs, () => reject(new Error('Query read timeout')));
    client.query(
      new PooledQuery<Row>({ text, values }, limitOf(timeoutMs), (error, rows) => {
        cancel();
        if (error) reject(error);
        else if (isUnconfirmed(client)) reject(unconfirmed());
        else resolve(rows);
      }),
    );
  });
}

/** A connection of the pool. If the breaker opens while we wait for it, it goes back to the pool once it is there. */
export async function connectionOf(
  pool: pg.Pool,
  { breaker }: Pick<StatementRunner, 'breaker'>,
): Promise<pg.PoolClient> {
  const connecting = pool.connect();
  try {
    return await breaker.watch(connecting);
  } catch (error) {
    releaseLater(connecting);
    throw error;
  }
}

/** For a caller that has given up. */
export function releaseLater(connecting: Promise<pg.PoolClient>): void {
  connecting.then(
    (client) => client.release(),
    () => {},
  );
}

/**
 * The rows of a statement on a connection of the pool. A connection that failed is closed. If PostgreSQL has undone the
 * statement because of a conflict, it is run once more: that is safe, because it is a transaction of its own.
 */
async function askPool<Row extends object>(
  pool: pg.Pool,
  statement: StatementToAsk,
  runner: StatementRunner,
): Promise<Row[]> {
  try {
    return await askOnce(pool, statement, runner);
  } catch (error) {
    if (!isUndone(error)) throw error;
    return askOnce(pool, statement, runner);
  }
}

async function askOnce<Row extends object>(
  pool: pg.Pool,
  statement: StatementToAsk,
  runner: StatementRunner,
): Promise<Row[]> {
  const client = await connectionOf(pool, runner);
  let broken: Error | undefined;
  try {
    const asked = isViaPooler(client) ? askPooler : ask;
    return await runner.breaker.watch(asked<Row>(client, statement, runner.statementMs));
  } catch (error) {
    broken = error as Error;
    throw error;
  } finally {
    client.release(broken);
  }
}
