/**
 * Notifies an instance of changes that other instances made, by PostgreSQL's NOTIFY. So an instance may keep what it
 * has read in memory. Notifications are lost while the connection is down. Therefore the watch says whether it is
 * reliable, and reports after a gap that anything may have changed.
 *
 * Whether it is reliable is tried out: every second it sends itself a notification, which must come back. Behind a
 * pooler in transaction mode none would come, or by chance alone, because the session that listens belongs to all.
 * https://www.postgresql.org/docs/18/sql-notify.html
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { type Address, DatabaseConnection } from './connection.ts';

export interface Watch {
  /** False while a change may have been missed. Then do not use anything that was kept in memory. */
  reliable(): boolean;
  close(): Promise<void>;
}

const beatMs = 1000;
const answerMs = 800;
/** If no notification of our own has come back for this long, others may be missing. */
const trustMs = beatMs + answerMs + 200;
/** When to try again without a pooler: the address may have been changed. */
const viaPoolerMs = 60_000;

/**
 * Listens on `channel`. `onChange` receives the payload of each notification, and undefined after a gap. Reconnects
 * whenever the connection is lost, until `close`.
 */
export function watchChanges(
  address: Address,
  channel: string,
  onChange: (what: string | undefined) => void,
): Watch {
  const own = `${channel}_${randomBytes(9).toString('hex')}`;
  let client: DatabaseConnection | undefined;
  let viaPooler = false;
  let heardAt = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  /** Undefined if there is a pooler: then nothing is listened to. */
  async function connect(): Promise<DatabaseConnection | undefined> {
    const fresh = new DatabaseConnection({
      address,
      name: 'cypher changes',
      connectMs: answerMs,
      queryMs: answerMs,
    });
    fresh.on('error', () => lose(fresh));
    fresh.on('end', () => lose(fresh));
    fresh.on('notification', (notification) => {
      if (notification.channel === own) heardAt = performance.now();
      else onChange(notification.payload);
    });
    await fresh.connect();
    try {
      viaPooler = fresh.viaPooler;
      if (viaPooler) return void (await fresh.end());
      const channels = [channel, own].map(pg.escapeIdentifier);
      // Nothing rests on a notification of our own, so it need not wait for the disk or for a standby.
      await fresh.query(`set synchronous_commit = off; listen ${channels.join('; listen ')}`);
    } catch (error) {
      await fresh.end().catch(() => {});
      throw error;
    }
    onChange(undefined);
    return fresh;
  }

  function lose(lost: DatabaseConnection): void {
    if (client !== lost) return;
    client = undefined;
    heardAt = Number.NEGATIVE_INFINITY;
    void lost.end().catch(() => {});
  }

  /** Connects if there is no connection. Then checks that notifications come. */
  async function beat(): Promise<void> {
    let asked = client;
    try {
      asked ??= client = await connect();
      await asked?.query('select pg_notify($1, $2)', [own, '']);
    } catch {
      if (asked) lose(asked);
    }
    if (!closed) timer = setTimeout(again, viaPooler ? viaPoolerMs : beatMs).unref();
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
