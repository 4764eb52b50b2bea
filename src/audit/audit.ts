/**
 * The audit log: security events, append-only (a trigger refuses changes), for whoever has to find out what happened.
 * Events are gathered for a moment and written together, so that no request waits for them; what cannot be written is
 * kept, up to a bound, until PostgreSQL is back, and written once although its answer was lost. It decides nothing and
 * holds no secret.
 */
import type { Log } from '../lib/log.ts';
import type { Database } from '../storage/database.ts';

export type AuditEventName =
  | 'account.invited'
  | 'account.created'
  | 'password.proved'
  | 'password.changed'
  | 'login.completed'
  | 'login.failed'
  | 'login.blocked'
  | 'totp.confirmed'
  | 'totp.replaced'
  | 'recovery_codes.replaced'
  | 'proof.given'
  | 'grant.removed'
  | 'consent.answered'
  | 'refresh.reused'
  | 'token.revoked'
  | 'session.ended'
  | 'site.entered'
  | 'logout.delivered'
  | 'logout.given_up'
  | 'request.answered'
  | 'ping.delivered'
  | 'ping.given_up'
  | 'account.disabled'
  | 'account.enabled'
  | 'account.signed_out'
  | 'totp.reset'
  | 'client.added'
  | 'client.secret_rotated'
  | 'client.removed'
  | 'key.changed'
  | 'registration_token.made';

export interface AuditEvent {
  event: AuditEventName;
  accountId?: string | undefined;
  clientId?: string | undefined;
  address?: string | undefined;
  detail?: Record<string, unknown>;
}

export interface Audit {
  record(event: AuditEvent): void;
  /** Writes what is still waiting; for a graceful stop. */
  flush(): Promise<void>;
}

const gatherMs = 100;
const mostWaiting = 10_000;

/** By the index of accounts and times. */
const notYetWritten = `where not exists (select from audit_log l
  where l.at = e.at and (l.account_id = e."accountId" or (l.account_id is null and e."accountId" is null))
    and (l.event, l.client_id, l.address, l.detail) is not distinct from (e.event, e."clientId", e.address, e.detail))
  order by e.at`;

export function createAudit({ query }: Database, log: Log, now: () => number): Audit {
  let waiting: (AuditEvent & { at: string })[] = [];
  /** PostgreSQL may have written the last ones although its answer was lost. */
  let inDoubt = false;
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
      await query(
        `insert into audit_log (at, event, account_id, client_id, address, detail)
         select at, event, "accountId", "clientId", address, detail from jsonb_to_recordset($1::jsonb)
           as e(at timestamptz, event text, "accountId" text, "clientId" text, address text, detail jsonb)
         ${inDoubt ? notYetWritten : ''}`,
        [JSON.stringify(events)],
      );
      inDoubt = false;
    } catch (cause) {
      inDoubt = true;
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
      waiting.push({ ...event, at: new Date(now()).toISOString() });
      schedule(gatherMs);
    },
    flush,
  };
}
