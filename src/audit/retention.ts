/**
 * Begins a partition of the audit log for each month, and drops the months whose retention has ended a week ago. The
 * same commit records an event that says how many events there were. The database itself enforces the retention: its
 * function drops no younger event, and a shorter retention takes effect only later.
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
  /**
   * Sets the retention in the database, which decides when a shorter one takes effect. Begins this month's partition.
   */
  hold(): Promise<void>;
  /** Drops the months of which every event is too old. Returns the number of their events. */
  expire(): Promise<number>;
  start(): void;
  stop(): void;
}

const everyMs = 60 * 60_000;
/** The time that an operator has to archive events after their retention has ended, before they are deleted. */
const daysForArchiving = 7;

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

  const expireMonths = (): Promise<number> =>
    database.transaction(async (query) => {
      const [held] = await query<{ days: number }>('select audit_retention_days() as days');
      const before = new Date(
        now() - (Math.max(days, held?.days ?? 0) + daysForArchiving) * 24 * 60 * 60_000,
      );
      const gone = await query<{ month: string; events: string }>(
        'select month, events from drop_audit_months($1)',
        [before],
      );
      for (const { month, events } of gone) {
        const detail = { events: Number(events), partition: month, before: before.toISOString() };
        await audit.recordWithin(query, { event: 'audit.expired', detail });
      }
      return gone.reduce((sum, { events }) => sum + Number(events), 0);
    });

  const hold = (): Promise<void> =>
    database.transaction(async (query) => {
      await query('select begin_audit_month()');
      const [held] = await query<Held>(holdDays, [days]);
      if (!held) return;
      const next = held.next_at && { nextDays: held.next_days, from: held.next_at.toISOString() };
      const detail = { days: held.days, ...next };
      await audit.recordWithin(query, { event: 'audit.retention_changed', detail });
    });

  async function expire(): Promise<number> {
    await hold();
    return days === 0 ? 0 : expireMonths();
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
