/**
 * PostgreSQL: the truth. Everything that must survive is written here before it is acknowledged.
 * Features write their own SQL; this file owns the pool, transactions and what counts as "the database is away".
 */
import pg from 'pg';
import { unavailable } from '../lib/errors.ts';

/** Runs one statement (prepared once per connection) and returns its rows. Throws AppError 503 when storage is away. */
export type Query = <Row extends object>(text: string, values?: readonly unknown[]) => Promise<Row[]>;

export interface Database {
  query: Query;
  /** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

const poolSize = 20;

/** Opens a pool on `url`. Nothing connects until the first query; a wait for a connection ends after 900 ms. */
export function openDatabase(url: string, onIdleError: (error: Error) => void): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: 900,
    // A database that hangs (stopped, partitioned) does not answer its own statement timeout: ours ends the wait.
    query_timeout: 900,
    statement_timeout: 5000,
    idle_in_transaction_session_timeout: 10_000,
    application_name: 'cypher',
  });
  // A connection cut while it idles is replaced by the pool; without a listener it would end the process.
  pool.on('error', onIdleError);
  const query = runner(pool);
  return {
    query,
    async transaction(work) {
      const client = await pool.connect().catch((error) => {
        throw asUnavailable(error);
      });
      // A connection cut between two statements must reach the next statement, not the process.
      client.on('error', onIdleError);
      let broken: Error | undefined;
      try {
        await run(client, 'begin', []);
        const result = await work(runner(client));
        await run(client, 'commit', []);
        return result;
      } catch (error) {
        await client.query('rollback').catch((failure: Error) => {
          broken = failure;
        });
        throw error;
      } finally {
        client.off('error', onIdleError);
        client.release(broken);
      }
    },
    close: () => pool.end(),
  };
}

type Queryable = Pick<pg.Pool | pg.PoolClient, 'query'>;

const runner =
  (on: Queryable): Query =>
  (text, values = []) =>
    run(on, text, values);

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
  on: Queryable,
  text: string,
  values: readonly unknown[],
): Promise<Row[]> {
  try {
    const result = await on.query<Row>({ name: statementName(text), text, values: [...values] });
    return result.rows;
  } catch (error) {
    throw asUnavailable(error);
  }
}

// Class 08 connection exceptions, 53 insufficient resources, 57P shutdown and start-up, 57014 statement timeout,
// 25006 a standby that is not yet the primary. https://www.postgresql.org/docs/18/errcodes-appendix.html
const awayCodes = /^(08|53|57P|57014|25006|58)/;
const awayMessages =
  /timeout exceeded when trying to connect|Connection terminated|Client has encountered a connection error|not queryable|Query read timeout/;

/** The same error, or AppError 503 around it where it says that the database cannot serve now. */
function asUnavailable(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = 'code' in error ? String(error.code) : '';
  const away = awayCodes.test(code) || /^E[A-Z]+$/.test(code) || awayMessages.test(error.message);
  return away ? unavailable(error) : error;
}
