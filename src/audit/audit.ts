/**
 * The audit log: security events, for finding out what happened. It is append-only, because a trigger refuses
 * changes. An event that ends a person's access is written in the transaction that ends it. Other events are
 * collected for 100 ms and written together, so that no request waits for them. If PostgreSQL is down they are kept,
 * up to a bound. Each is written once, even if PostgreSQL's answer was lost. This room decides nothing and holds no
 * secrets.
 */
import type { Log } from '../lib/log.ts';
import type { Database, Query } from '../storage/database.ts';
import { jsonb } from '../storage/jsonb.ts';

/** Events that explain why a person or an app was signed out. They must not be lost, even if a process is killed. */
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

/** The events that may be lost if the process is killed. */
export type GatheredEvent = AuditEvent & { event: Exclude<AuditEventName, EndEventName> };

export interface Audit {
  /** Collects the event. It is written a moment later. */
  record(event: GatheredEvent): void;
  /** Writes the event in the transaction of `query`. */
  recordWithin(query: Query, event: AuditEvent): Promise<void>;
  /** Writes the events that are still waiting, for a graceful stop. */
  flush(): Promise<void>;
}

const gatherMs = 100;
const mostWaiting = 10_000;

/** `actor`: the person who runs this process, if it is a command. The detail of every event names them. */
export function createAudit(
  { query }: Database,
  log: Log,
  now: () => number,
  actor?: { by: 'command'; user: string },
): Audit {
  const withActor = (detail: AuditEvent['detail']) => (actor ? { ...actor, ...detail } : detail);

  /** An event gets its `id` at the first attempt to write it. PostgreSQL may have written it without answering. */
  let waiting: (GatheredEvent & { at: string; id?: string })[] = [];
  let timer: NodeJS.Timeout | undefined;
  let writing = Promise.resolve();

  /** Flushes run one after the other. So a caller also waits for the events that were already being written. */
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
      // Only events of an earlier attempt can exist already. Without the clause, an event writes 48 bytes less of
      // WAL.
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
