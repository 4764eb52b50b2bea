/**
 * Notifies an instance of changes that other instances made, by PostgreSQL's NOTIFY. So an instance may keep what it
 * has read in memory. Notifications are lost while the connection is down. Therefore the watch says whether it is
 * reliable, and reports after a gap that anything may have changed.
 * https://www.postgresql.org/docs/18/sql-notify.html
 */
import pg from 'pg';

export interface Watch {
  /** False while a change may have been missed. Then do not use anything that was kept in memory. */
  reliable(): boolean;
  close(): Promise<void>;
}

const beatMs = 1000;
const answerMs = 800;
/** A connection without an answer for this long may be broken, so notifications may be missing. */
const trustMs = beatMs + answerMs + 200;

/**
 * Listens on `channel`. `onChange` receives the payload of each notification, and undefined after a gap. Reconnects
 * whenever the connection is lost, until `close`.
 */
export function watchChanges(
  url: string,
  channel: string,
  onChange: (what: string | undefined) => void,
): Watch {
  let client: pg.Client | undefined;
  let heardAt = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  async function connect(): Promise<pg.Client> {
    const fresh = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: answerMs,
      query_timeout: answerMs,
      application_name: 'cypher changes',
    });
    fresh.on('error', () => lose(fresh));
    fresh.on('end', () => lose(fresh));
    fresh.on('notification', ({ payload }) => onChange(payload));
    try {
      await fresh.connect();
      await fresh.query(`listen ${pg.escapeIdentifier(channel)}`);
    } catch (error) {
      await fresh.end().catch(() => {});
      throw error;
    }
    onChange(undefined);
    return fresh;
  }

  function lose(lost: pg.Client): void {
    if (client !== lost) return;
    client = undefined;
    heardAt = Number.NEGATIVE_INFINITY;
    void lost.end().catch(() => {});
  }

  /** Connects if there is no connection. Otherwise checks that the connection still works. */
  async function beat(): Promise<void> {
    const asked = client;
    try {
      if (asked) await asked.query('select 1');
      else client = await connect();
      if (client) heardAt = performance.now();
    } catch {
      if (asked) lose(asked);
    }
    if (!closed) timer = setTimeout(again, beatMs).unref();
  }

  const again = () => {
    beating = beat();
  };

  let beating = beat();
  return {
    reliable: () => performance.now() - heardAt < trustMs,
    async close() {
      closed = true;
      clearTimeout(timer);
      await beating;
      clearTimeout(timer);
      await client?.end().catch(() => {});
    },
  };
}
