/** What happens at sign-ins and on the account page goes to the audit log; sign-ins, well or not, have a line in the log too. */
import type { AppDeps } from '../app.ts';
import type { GatheredEvent } from '../audit/audit.ts';
import { createReportBound } from '../lib/report_bound.ts';

/**
 * Refused attempts are no attempts, and anybody can make any number of them. Failures need no such bound: each is charged, and
 * the limits of failures are theirs.
 */
const mostBlockedPerMinute = 60;

export function createSignInEvents({ audit, log, now }: Pick<AppDeps, 'audit' | 'log' | 'now'>) {
  const reportBlocked = createReportBound(mostBlockedPerMinute, now);
  return (event: GatheredEvent): void => {
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
  };
}

const sentences: Partial<Record<GatheredEvent['event'], string>> = {
  'login.completed': 'somebody has signed in',
  'login.failed': 'a sign-in has failed',
  'login.blocked': 'a sign-in was refused after too many failures',
};
