/** What happens at sign-ins and on the account page goes to the audit log; sign-ins, well or not, have a line in the log too. */
import type { GatheredEvent } from '../audit/audit.ts';
import { createOncePer } from '../lib/once_per.ts';
import { createReportBound } from '../lib/report_bound.ts';
import type { Ground } from './deps.ts';

/**
 * Refused attempts are no attempts, and anybody can make any number of them. Failures need no such bound: each is charged, and
 * the limits of failures are theirs.
 */
const mostBlockedPerMinute = 60;

/** A refusal is in the audit log once in a quarter of an hour for each count of failures that refuses. */
const refusalsKnownSeconds = 15 * 60;

export interface SignInEvents {
  always(event: GatheredEvent): void;
  /** The same, but for a refusal that is known already. */
  ofOutcome(
    event: GatheredEvent | undefined,
    outcome: { blockedBy: string | undefined; address: string },
  ): void;
}

export function createSignInEvents({ audit, log, now }: Pick<Ground, 'audit' | 'log' | 'now'>): SignInEvents {
  const reportBlocked = createReportBound(mostBlockedPerMinute, now);
  const isFirst = createOncePer(refusalsKnownSeconds, now);

  function always(event: GatheredEvent): void {
    let { detail } = event;
    if (event.event === 'login.blocked') {
      const unreported = reportBlocked();
      if (unreported === undefined) return;
      if (unreported > 0) detail = { ...detail, unreported };
    }
    audit.record({ ...event, ...(detail && { detail }) });
    if (!event.event.startsWith('login.')) return;
    const { event: name, accountId: account, clientId: client, address } = event;
    log.info({ event: name, account, client, address, ...detail }, sentences[name] ?? 'a sign-in');
  }

  return {
    always,
    ofOutcome(event, { blockedBy, address }) {
      if (event && (event.event !== 'login.blocked' || isFirst(blockedBy ?? address))) always(event);
    },
  };
}

const sentences: Partial<Record<GatheredEvent['event'], string>> = {
  'login.completed': 'somebody has signed in',
  'login.failed': 'a sign-in has failed',
  'login.blocked': 'a sign-in was refused after too many failures',
};
