/**
 * The audit log: security events, append-only (a trigger refuses changes), for whoever has to find out what happened. An
 * end of somebody's access is written in the commit that ends it. Other events are gathered for a moment and written
 * together, so that no request waits for them; what cannot be written is kept, up to a bound, until PostgreSQL is back, and
 * written once although its answer was lost. It decides nothing and holds no secret.
 */
import type { Log } from '../lib/log.ts';
import type { Database, Query } from '../storage/database.ts';
import { jsonb } from '../storage/jsonb.ts';

/** A person would want to know why they, or the apps of theirs, are signed out, although a process was killed just then. */
type EndEventName =
  | 'refresh.reused'
  | 'password.changed'
  | 'account.disabled'
  | 'account.signed_out'
  | 'totp.reset';

export type AuditEventName =
  | EndEventName
  | 'account.invited'
  | 'account.created'
  | 'password.proved'
  | 'login.completed'
  | 'login.failed'
  | 'login.blocked'
  | 'totp.confirmed'
  | 'totp.replaced'
  | 'totp.unreadable'
  | 'recovery_codes.replaced'
  | 'proof.given'
  | 'grant.removed'
  | 'consent.answered'
  | 'poll.repeated'
  | 'token.revoked'
  | 'session.ended'
  | 'site.entered'
  | 'logout.delivered'
  | 'logout.given_up'
  | 'request.answered'
  | 'ping.delivered'
  | 'ping.given_up'
  | 'account.enabled'
  | 'totp.reset_issued'
  | 'client.added'
  | 'client.secret_rotated'
  | 'client.removed'
  | 'client.resumed'
  | 'backup.made'
  | 'restore.ended_all'
  | 'restore.accepted'
  | 'key.changed'
  | 'audit.expired'
  | 'audit.archived'
  | 'audit.retention_changed'
  | 'registration_token.made';

export interface AuditEvent {
  event: AuditEventName;
  accountId?: string | undefined;
  clientId?: string | undefined;
  address?: string | undefined;
  detail?: Record<string, unknown>;
}

/** What may be lost with the process that knows it. */
export type GatheredEvent = AuditEvent & { event: Exclude<AuditEventName, EndEventName> };

export interface Audit {
  record(event: GatheredEvent): void;
  /** Writes the event as part of the transaction whose `query` is given: both are kept or neither. */
  recordWithin(query: Query, event: AuditEvent): Promise<void>;
  /** Writes what is still waiting; for a graceful stop. */
  flush(): Promise<void>;
}

const gatherMs = 100;
const mostWaiting = 10_000;

/** `actor`: who causes all that is recorded here, for a process that one person runs; it is in the detail of every event. */
export function createAudit(
  { query }: Database,
  log: Log,
  now: () => number,
  actor?: { by: 'command'; user: string },
): Audit {
  const withActor = (detail: AuditEvent['detail']) => (actor ? { ...actor, ...detail } : detail);

  /** `id` from the first attempt at writing on: PostgreSQL may have made that attempt, or be at it, although it did not answer. */
  let waiting: (GatheredEvent & { at: string; id?: string })[] = [];
  let timer: NodeJS.Timeout | undefined;
  let writing = Promise.resolve();

  /** One after the other, so that whoever waits for a flush waits for what was being written before it too. */
  function flush(): Promise<void> {
    timer = undefined;
    writing = writing.then(write);
    return writing;
  }

  async function write(): Promise<void> {
    const events = waiting;
    waiting = [];
    if (events.length === 0) return;
    try {
      const fresh = events.filter(({ id }) => id === undefined);
      const ids = await query<{ id: string }>(
        "select nextval(pg_get_serial_sequence('audit_log', 'id')) as id from generate_series(1, $1)",
        [fresh.length],
      );
      for (const [index, { id }] of ids.entries()) Object.assign(fresh[index] ?? {}, { id });
      // Only what was tried before can be there: without the clause an event writes 48 bytes less of the log.
      const again = fresh.length === events.length ? '' : 'on conflict (id) do nothing';
      await query(
        `insert into audit_log (id, at, event, account_id, client_id, address, detail) overriding system value
         select * from jsonb_to_recordset($1::jsonb) as e(
           id bigint, at timestamptz, event text, "accountId" text, "clientId" text, address text, detail jsonb)
         ${again}`,
        [JSON.stringify(events)],
      );
    } catch (cause) {
      log.error({ cause, events: events.length }, 'audit events wait: they could not be written');
      waiting = [...events, ...waiting].slice(-mostWaiting);
      schedule(1000);
    }
  }

  function schedule(afterMs: number): void {
    if (timer === undefined) timer = setTimeout(flush, afterMs).unref();
  }

  return {
    record(event) {
      const detail = withActor(event.detail);
      waiting.push({ ...event, ...(detail && { detail }), at: new Date(now()).toISOString() });
      schedule(gatherMs);
    },
    async recordWithin(within, { event, accountId, clientId, address, detail: given }) {
      const detail = withActor(given);
      await within(
        `insert into audit_log (at, event, account_id, client_id, address, detail) values ($1, $2, $3, $4, $5, $6)`,
        [new Date(now()), event, accountId, clientId, address, detail && jsonb(detail)],
      );
    },
    flush,
  };
}
