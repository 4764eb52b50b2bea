/**
 * One statement through a pooler in transaction mode, such as PgBouncer. There, the session is ours for one transaction only,
 * so a time limit cannot be set beforehand. It is sent along: both are one round trip and one transaction.
 */
import pg from 'pg';

/** The part of pg's connection that sends messages of the extended query protocol. pg does not declare it. */
interface Sender {
  parse(message: { text: string }): void;
  bind(message: object): void;
  execute(message: object): void;
}

/** pg's own method, which its types do not declare. */
const prepare: (this: pg.Query, connection: Sender) => void = Reflect.get(pg.Query.prototype, 'prepare');
if (typeof prepare !== 'function') throw new Error('this release of pg sends statements in another way');

/**
 * PostgreSQL begins a transaction with the first message, ends it with the `sync` after the last one, and starts the time
 * limit anew for each statement. https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-PIPELINING
 */
export class PooledQuery<Row extends object> extends pg.Query<Row> {
  /** pg calls this to send the statement. */
  readonly prepare: (connection: Sender) => void;

  constructor(
    statement: pg.QueryConfig,
    limitMs: number,
    callback: (error: Error | undefined, rows: Row[]) => void,
  ) {
    // `extended`, because pg would send a statement without parameters in another way, without `prepare`.
    super({ ...statement, ...{ queryMode: 'extended' } }, (error, results) => {
      // One result for each of both statements, in their order.
      callback(error, [results].flat().at(-1)?.rows ?? []);
    });
    this.prepare = (connection) => {
      // A statement without rows: a row would be taken for one of the other statement.
      connection.parse({ text: `select where set_config('statement_timeout', '${limitMs}', true) is null` });
      connection.bind({});
      connection.execute({});
      prepare.call(this, connection);
    };
  }
}
