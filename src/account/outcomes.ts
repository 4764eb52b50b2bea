/**
 * What was done on the account page, as the audit log has it. Pure. A changed password and a sign-out everywhere are recorded
 * in their own transactions.
 */
import type { GatheredEvent } from '../audit/audit.ts';
import type { Outcome } from '../http/flow.ts';

/** Everything that can be posted, by the path below /account. */
export type AccountAction =
  | 'sessions/end'
  | 'sessions/end-all'
  | 'apps/remove'
  | 'proof/init'
  | 'proof/finish'
  | 'password/init'
  | 'password/finish'
  | 'authenticator'
  | 'recovery-codes'
  | 'requests';

/** What an action's work adds to its outcome. */
export interface AccountTold {
  /** Which app lost its access. */
  clientId?: string;
  /** What a proof was for and by which factor. */
  detail?: Record<string, unknown>;
  /** True where there was nothing to do: what was named is none of the account's. */
  nothingDone?: boolean;
}

export interface AccountOutcome extends Outcome<AccountAction>, AccountTold {
  /** Undefined where nobody was signed in. */
  accountId: string | undefined;
}

const events: Partial<Record<AccountAction, GatheredEvent['event']>> = {
  'sessions/end': 'session.ended',
  'apps/remove': 'grant.removed',
  'proof/finish': 'proof.given',
  authenticator: 'totp.replaced',
  'recovery-codes': 'recovery_codes.replaced',
  requests: 'request.answered',
};

/** The event of an outcome; undefined where it is of no interest to security. */
export function accountEventOf({
  action,
  outcome,
  accountId,
  address,
  agent,
  clientId,
  detail,
  nothingDone,
}: AccountOutcome): GatheredEvent | undefined {
  if (nothingDone) return undefined;
  const who = { accountId, address, clientId };
  const step = { detail: { step: `account/${action}` } };
  if (outcome === 'too_many_requests') return { event: 'login.blocked', ...who, ...step };
  if (outcome === 'invalid_credentials' || outcome === 'invalid_code')
    return { event: 'login.failed', ...who, detail: { step: `account/${action}`, agent } };
  const event = outcome === 'ok' ? events[action] : undefined;
  return event && { event, ...who, detail: { by: 'owner', ...detail } };
}
