/** What the outcome of a step is in the audit log. Pure. */
import type { GatheredEvent } from '../audit/audit.ts';
import type { Attempt } from '../authentication/password.ts';
import type { Outcome } from '../http/flow.ts';
import type { Action } from './steps.ts';

/** What a step's work adds to its outcome. */
export interface StepTold {
  /** Whose password was proved. */
  accountId?: string;
  /** How a completed login happened (RFC 8176); undefined for all other steps. */
  amr?: string[];
  /** True of an account that was made by an invitation. */
  invited?: boolean;
  /** True of a set-up whose answer was lost, and that is answered again. */
  again?: boolean;
  /** What was answered to the consent page. */
  decision?: 'allow' | 'deny';
}

export interface StepOutcome extends Outcome<Action>, Omit<StepTold, 'accountId'> {
  clientId: string;
  /** The account that the step was about, where that is proved. */
  accountId: string | undefined;
}

/** The event of a password whose proof was not finished in time. */
export const unansweredEvent = ({ step, agent, ...who }: Attempt): GatheredEvent => ({
  event: 'login.failed',
  ...who,
  detail: { step, agent, unanswered: true },
});

/** The event of an outcome; undefined where it is of no interest to security. */
export function auditEventOf({
  action: step,
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
