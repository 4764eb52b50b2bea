/**
 * Deletes old events of the audit log, a week after their retention has ended. They are deleted in batches. In the
 * same commit, each batch records an event that says how many there were and until when. The database itself enforces
 * the retention: it refuses to delete younger events, and a shorter retention takes effect only later.
 */
import type { Log } from '../lib/log.ts';
import type { Database } from '../storage/database.ts';
import type { Audit } from './audit.ts';

export interface AuditRetentionDeps {
  database: Pick<Database, 'transaction'>;
  audit: Pick<Audit, 'recordWithin'>;
  /** The retention; 0 keeps everything. */
  days: number;
  log: Log;
  now: () => number;
}

export interface AuditRetention {
  /** Sets the retention in the database. The database decides when a shorter one takes effect. */
  hold(): Promise<void>;
  /** Deletes the events that are too old. Returns their number. */
  expire(): Promise<number>;
  start(): void;
  stop(): void;
}

const everyMs = 60 * 60_000;
/** The time that an operator has to archive events after their retention has ended, before they are deleted. */
const daysForArchiving = 7;
const batchRows = 1000;

/**
 * Deletes the oldest events, if they are too old. The order of ids is the order of times to within seconds, so it
 * reads only the smallest ids. An index on the times would cost every sign-in a write.
 */
const deleteOldest = `delete from audit_log where id in (
    select id from (select id, at from audit_log order by id limit ${batchRows}) oldest where at < $1)
  returning at`;

/** Sets the retention. Writes nothing if nothing changes. */
const holdDays = `insert into audit_retention as r (days) values ($1)
  on conflict (only_row) do update set days = excluded.days
  where coalesce(r.next_days, r.days) <> excluded.days or r.next_at <= now()
  returning days, next_days, next_at`;

interface Held {
  days: number;
  next_days: number | null;
  next_at: Date | null;
}

/** After `start` it deletes about once an hour, until `stop`. */
export function createAuditRetention({
  database,
  audit,
  days,
  log,
  now,
}: AuditRetentionDeps): AuditRetention {
  let timer: NodeJS.Timeout | undefined;

  const expireBatch = (): Promise<number> =>
    database.transaction(async (query) => {
      const [held] = await query<{ days: number }>('select audit_retention_days() as days');
      if (!held || held.days === 0) return 0;
      const before = new Date(now() - (Math.max(days, held.days) + daysForArchiving) * 24 * 60 * 60_000);
      const gone = await query<{ at: Date }>(deleteOldest, [before]);
      if (gone.length > 0) {
        const detail = { events: gone.length, before: before.toISOString() };
        await audit.recordWithin(query, { event: 'audit.expired', detail });
      }
      return gone.length;
    });

  const hold = (): Promise<void> =>
    database.transaction(async (query) => {
      const [held] = await query<Held>(holdDays, [days]);
      if (!held) return;
      const next = held.next_at && { nextDays: held.next_days, from: held.next_at.toISOString() };
      const detail = { days: held.days, ...next };
      await audit.recordWithin(query, { event: 'audit.retention_changed', detail });
    });

  async function expire(): Promise<number> {
    await hold();
    if (days === 0) return 0;
    for (let total = 0; ; ) {
      const gone = await expireBatch();
      total += gone;
      if (gone < batchRows) return total;
    }
  }

  return {
    hold,
    expire,
    start() {
      // A random pause, so that instances that were started together do not delete at the same time.
      timer = setTimeout(
        async () => {
          await expire().catch((cause) => log.warn({ cause }, 'old audit events could not be deleted'));
          if (timer) this.start();
        },
        everyMs * (0.5 + Math.random()),
      ).unref();
    },
    stop() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
