/**
 * A connection to PostgreSQL. Every connection of the server and of its commands is made here, so that three rules hold for all:
 * - It ends at a server that takes writes. A standby is refused. Of several hosts, the one that takes writes is found.
 * - It leaves no state behind in the session, if a pooler such as PgBouncer is in between: there, the next transaction of
 *   somebody else runs in the same session. That somebody is in between is noticed, and needs no setting.
 * - A failure names the host and the reason, and never the password.
 */
import pg from 'pg';
import { urlsOf } from '../lib/database_url.ts';

/** The database's URL. A function is asked for each new connection: the password may have been changed meanwhile. */
export type DatabaseSource = string | (() => string);

/** Where the database is now. All connections of one `Database` share it. */
export interface Address {
  /** The URL of any of the hosts, with the user and the password of this moment. */
  any(): string;
  /** The URL of the host that takes writes. If there are several, they are asked, unless the answer is known. */
  writable(): Promise<string>;
  /** Call this when a connection to `url` was lost or refused: the hosts are asked again for the next one. */
  lost(url: string): void;
}

/** What PostgreSQL enforces on a connection, in milliseconds. */
export interface Limits {
  /** It ends a statement that takes longer. */
  statementMs: number;
  /** It ends a connection whose transaction idles for longer, and so releases its locks. */
  idleInTransactionMs: number;
}

export interface ConnectionOptions {
  address: Address;
  /** What pg_stat_activity shows. */
  name: string;
  /** How long to wait for the connection. */
  connectMs: number;
  /** How long to wait for the answer to one query. No limit if it is left out. */
  queryMs?: number;
  limits?: Limits;
}

interface SystemError extends Error {
  code?: string | undefined;
}

/** No connection could be made. `code` is that of PostgreSQL or of the system, if there is one. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError';
  readonly code: string | undefined;

  constructor(message: string, cause: SystemError) {
    super(message, { cause });
    this.code = cause.code;
  }
}

function failedAt(url: string, cause: SystemError): ConnectError {
  const { hostname, port } = new URL(url);
  // If a name has several addresses, Node reports one error for each of them, and no message.
  const reasons = cause instanceof AggregateError ? cause.errors : [cause];
  const reason = reasons.map(({ message }: Error) => message).join(', ');
  return new ConnectError(`${hostname || 'localhost'}:${port || 5432}: ${reason || cause.code}`, cause);
}

/**
 * Asks who answers. A pooler makes up the process id that it gives to its clients, so a session whose process id is not the
 * given one is not ours alone. Only in a session of our own are the limits set: another one would hand them on.
 */
const greeting = `select pg_backend_pid() = $1 as direct,
    pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean as read_only,
    case when pg_backend_pid() = $1 and $2::text is not null then set_config('statement_timeout', $2, false) end,
    case when pg_backend_pid() = $1 and $3::text is not null
      then set_config('idle_in_transaction_session_timeout', $3, false) end`;

/** Declared as a method, whose parameters TypeScript compares more loosely: pg has two types for the two outcomes. */
type Connected = { call(error: Error | null, client: DatabaseConnection): void }['call'];

/** `connect` rejects with ConnectError. */
export class DatabaseConnection extends pg.Client {
  /** Whether a pooler is in between. Then the session belongs to us for one transaction only. */
  viaPooler = false;
  /**
   * Whether a commit was cut short while it waited for a synchronous standby. PostgreSQL then only warns that a failover may
   * lose what it reports as done. Nobody may be told that it was done, so close the connection.
   * https://www.postgresql.org/docs/18/warm-standby.html#SYNCHRONOUS-REPLICATION
   */
  isUnconfirmed = false;
  declare readonly processID: number | null;
  readonly #options: ConnectionOptions;
  readonly #given: string;

  constructor(options: ConnectionOptions) {
    const given = options.address.any();
    super({
      connectionString: given,
      application_name: options.name,
      // Some networks drop idle connections silently, for example after four minutes.
      keepAlive: true,
      keepAliveInitialDelayMillis: 60_000,
      ...(options.queryMs !== undefined && { query_timeout: options.queryMs }),
    });
    this.#options = options;
    this.#given = given;
    // Without a listener, the loss of a connection would end the process.
    this.on('error', () => {});
    this.on('notice', ({ routine }) => {
      if (routine === 'SyncRepWaitForLSN') this.isUnconfirmed = true;
    });
  }

  override connect(callback: Connected = () => {}): Promise<DatabaseConnection> {
    const opened = this.#open();
    opened.then(
      () => callback(null, this),
      (error: Error) => callback(error, this),
    );
    return opened;
  }

  async #open(): Promise<DatabaseConnection> {
    const { address, connectMs } = this.#options;
    const url = await address.writable();
    if (url !== this.#given) {
      const { hostname, port } = new URL(url);
      Object.assign(this, { host: hostname.replace(/^\[(.+)\]$/, '$1'), port: Number(port || 5432) });
    }
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.connection.stream.destroy();
    }, connectMs);
    try {
      await super.connect();
      await this.#greet();
    } catch (error) {
      address.lost(url);
      this.end().catch(() => {});
      throw failedAt(
        url,
        late ? new Error('Connection terminated due to connection timeout: no answer') : (error as Error),
      );
    } finally {
      clearTimeout(timer);
    }
    this.on('error', () => address.lost(url));
    return this;
  }

  async #greet(): Promise<void> {
    const { statementMs, idleInTransactionMs } = this.#options.limits ?? {};
    const limits = [statementMs, idleInTransactionMs].map((ms) => (ms === undefined ? null : String(ms)));
    const { rows } = await this.query<{ direct: boolean; read_only: boolean }>(greeting, [
      this.processID,
      ...limits,
    ]);
    this.viaPooler = rows[0]?.direct !== true;
    // The code with which PostgreSQL refuses a write.
    if (rows[0]?.read_only)
      throw Object.assign(new Error('this server is a standby, or read-only for this user'), {
        code: '25006',
      });
  }
}

export function createAddress(source: DatabaseSource): Address {
  const urls = () => urlsOf(typeof source === 'string' ? source : source());
  let known: string | undefined;
  let search: Promise<string> | undefined;
  const any = () => {
    const all = urls();
    return all.find((url) => url === known) ?? String(all[0]);
  };
  return {
    any,
    async writable() {
      const all = urls();
      if (all.length === 1 || all.some((url) => url === known)) return any();
      search ??= firstWritable(all).finally(() => {
        search = undefined;
      });
      known = await search;
      return known;
    },
    lost(url) {
      if (known === url) known = undefined;
    },
  };
}

/** For a host that hangs, while another one answers. */
const askHostMs = 2000;

/** Asks all hosts at once. One that hangs then delays nothing. */
async function firstWritable(urls: string[]): Promise<string> {
  const ask = async (url: string) => {
    const probe = new DatabaseConnection({
      address: createAddress(url),
      name: 'cypher',
      connectMs: askHostMs,
    });
    await probe.connect();
    await probe.end();
    return url;
  };
  try {
    return await Promise.any(urls.map(ask));
  } catch (error) {
    const failures = (error as AggregateError).errors as ConnectError[];
    const message = failures.map((failure) => failure.message).join('; ');
    throw new ConnectError(message, Object.assign(error as AggregateError, { code: failures[0]?.code }));
  }
}
