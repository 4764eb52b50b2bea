/**
 * How long the audit log keeps events. The oldest are deleted in batches, and each batch leaves an event behind that says how many
 * they were and until when, in the same commit. The database itself refuses to delete what is younger than 30 days.
 */
import type { Log } from '../lib/log.ts';
import type { Database } from '../storage/database.ts';
import type { Audit } from './audit.ts';

export interface AuditRetentionDeps {
  database: Pick<Database, 'transaction'>;
  audit: Pick<Audit, 'recordWithin'>;
  /** 0: everything is kept. */
  days: number;
  log: Log;
  now: () => number;
}

export interface AuditRetention {
  /** Deletes what has outlived its retention. Returns how many events. */
  expire(): Promise<number>;
  start(): void;
  stop(): void;
}

const everyMs = 60 * 60_000;
const batchRows = 1000;

/**
 * Events are written in the order of their ids, to within seconds: only the oldest ids are looked at, without an index on their
 * times, which each login would have to write to.
 */
const deleteOldest = `delete from audit_log where id in (
    select id from (select id, at from audit_log order by id limit ${batchRows}) oldest where at < $1)
  returning at`;

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
      const before = new Date(now() - days * 24 * 60 * 60_000);
      const gone = await query<{ at: Date }>(deleteOldest, [before]);
      if (gone.length > 0) {
        const detail = { events: gone.length, before: before.toISOString() };
        await audit.recordWithin(query, { event: 'audit.expired', detail });
      }
      return gone.length;
    });

  async function expire(): Promise<number> {
    if (days === 0) return 0;
    for (let total = 0; ; ) {
      const gone = await expireBatch();
      total += gone;
      if (gone < batchRows) return total;
    }
  }

  return {
    expire,
    start() {
      // Instances that were started together do not look together.
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
