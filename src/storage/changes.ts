/**
 * Tells an instance of what others have changed (PostgreSQL's NOTIFY), so that it may keep in memory what it has read. A
 * notice is lost where the connection is: the watch says whether it may be relied on, and after a gap, that anything may
 * have changed. https://www.postgresql.org/docs/18/sql-notify.html
 */
import pg from 'pg';

export interface Watch {
  /** False while a change may have been missed: then nothing that was kept may be used. */
  reliable(): boolean;
  close(): Promise<void>;
}

const beatMs = 1000;
const answerMs = 800;
/** A connection that nobody has answered on for this long may be dead, and tells of nothing. */
const trustMs = beatMs + answerMs + 200;

/** `onChange` receives what the notice says; undefined after a gap. Connects now and again whenever it is cut off. */
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

  /** Connects where there is no connection, and otherwise asks whether it is still one. */
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
