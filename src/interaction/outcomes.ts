/** What the outcome of a step is in the audit log. Pure. */
import type { GatheredEvent } from '../audit/audit.ts';
import type { Attempt } from '../authentication/password.ts';
import type { StepOutcome } from './routes.ts';

/** The event of a password whose proof was not finished in time. */
export const unansweredEvent = ({ step, agent, ...who }: Attempt): GatheredEvent => ({
  event: 'login.failed',
  ...who,
  detail: { step, agent, unanswered: true },
});

/** The event of an outcome; undefined where it is of no interest to security. */
export function auditEventOf({
  step,
  outcome,
  accountId,
  clientId,
  address,
  agent,
  amr,
  invited,
  again,
  decision,
}: StepOutcome): GatheredEvent | undefined {
  const who = { accountId, clientId, address };
  if (outcome === 'too_many_requests') return { event: 'login.blocked', ...who, detail: { step } };
  if (outcome === 'invalid_credentials' || outcome === 'invalid_code') {
    return { event: 'login.failed', ...who, detail: { step, agent } };
  }
  if (outcome !== 'ok') return undefined;
  switch (step) {
    case 'register/finish':
      return { event: 'account.created', ...who, detail: { by: 'owner', ...(invited ? { invited } : {}) } };
    case 'login/finish':
      return { event: 'password.proved', ...who };
    case 'totp/verify-setup':
      return { event: 'totp.confirmed', ...who, detail: { amr, ...(again ? { again } : {}) } };
    case 'totp/verify':
      return { event: 'login.completed', ...who, detail: { amr } };
    case 'consent':
      return { event: 'consent.answered', ...who, detail: { decision } };
    default:
      return undefined;
  }
}
