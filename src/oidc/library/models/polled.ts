/** How often a client may poll with a device code or CIBA request (RFC 8628, section 3.5; CIBA Core, section 11). */
import { errors } from 'oidc-provider';
import { sha256 } from '../../../lib/crypto.ts';
import { currentScope } from '../request_scope.ts';
import type { Code } from './code.ts';

/** Whether the code with this hash was polled too recently. */
export type PollsTooSoon = (codeHash: string) => Promise<boolean>;

/**
 * Makes a check that throws SlowDown for a poll that comes too soon. The library leaves that decision to us. A code
 * that was answered is not slowed down: of several concurrent polls one begins the family, and all get its refresh
 * token.
 */
export const refuseTooSoon =
  (tooSoon: PollsTooSoon) =>
  async (code: Code, value: string): Promise<void> => {
    const scope = currentScope();
    if (!scope?.isTokenRequest || code.clientId !== scope.client?.clientId) return;
    const waits = !code.grantId && !code.error && !code.isExpired;
    if (waits && (await tooSoon(sha256(value)))) throw new errors.SlowDown();
  };
