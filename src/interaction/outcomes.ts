/** Turns the outcome of a step into an event of the audit log. Pure. */
import type { GatheredEvent } from '../audit/audit.ts';
import type { Attempt } from '../authentication/password.ts';
import type { Outcome } from '../http/flow.ts';
import type { Action } from './steps.ts';

/** What the work of a step adds to its outcome. */
export interface StepTold {
  /** Whose password was proved. */
  accountId?: string;
  /** The methods of a completed login (RFC 8176). Undefined for all other steps. */
  amr?: string[];
  /** True if the account was made with an invitation. */
  invited?: boolean;
  /** True if the answer to a set-up was lost, and is sent again. */
  again?: boolean;
  /** The decision on the consent page. */
  decision?: 'allow' | 'deny';
}

export interface StepOutcome extends Outcome<Action>, Omit<StepTold, 'accountId'> {
  clientId: string;
  /** The account of the step, if it was proved. */
  accountId: string | undefined;
}

/** The event of a password whose proof was not finished in time. */
export const unansweredEvent = ({ step, agent, ...who }: Attempt): GatheredEvent => ({
  event: 'login.failed',
  ...who,
  detail: { step, agent, unanswered: true },
});

/** The event of an outcome. Undefined if it does not matter for security. */
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
