/**
 * Turns what was done on the account page into events of the audit log. Pure. A changed password and a sign-out
 * everywhere are recorded elsewhere, in their own transactions.
 */
import type { GatheredEvent } from '../audit/audit.ts';
import type { Outcome } from '../http/flow.ts';

/** All actions that can be posted, by the path below /account. */
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

/** What the work of an action adds to its outcome. */
export interface AccountTold {
  /** The app that lost its access. */
  clientId?: string;
  /** For a proof: which change it is for, and which factor was used. */
  detail?: Record<string, unknown>;
  /** True if nothing was done, because the account has no such session or app. */
  nothingDone?: boolean;
}

export interface AccountOutcome extends Outcome<AccountAction>, AccountTold {
  /** Undefined if nobody was signed in. */
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

/** The event of an outcome. Undefined if it does not matter for security. */
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
