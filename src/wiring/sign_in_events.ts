/**
 * Records what happens at sign-ins and on the account page in the audit log. Sign-ins, completed or not, also get a
 * line in the server's log.
 */
import type { GatheredEvent } from '../audit/audit.ts';
import { createOncePer } from '../lib/once_per.ts';
import { createReportBound } from '../lib/report_bound.ts';
import type { Ground } from './deps.ts';

/**
 * Anybody can make any number of attempts that are refused, so their events are bounded. Failures need no such bound:
 * each is charged, and the limits of failures apply to them.
 */
const mostBlockedPerMinute = 60;

/** For each count of failures that refuses, the audit log has one refusal in a quarter of an hour. */
const refusalsKnownSeconds = 15 * 60;

export interface SignInEvents {
  always(event: GatheredEvent): void;
  /** The same, but leaves out a refusal that was recorded lately. */
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
