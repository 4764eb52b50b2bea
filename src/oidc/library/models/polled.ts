/** How often the clients of device codes and CIBA requests may ask for the answer (RFC 8628, section 3.5; CIBA Core, section 11). */
import { errors } from 'oidc-provider';
import { sha256 } from '../../../lib/crypto.ts';
import { currentScope } from '../request_scope.ts';
import type { Code } from './code.ts';

/** Whether the code of this hash was asked about a moment ago. */
export type PollsTooSoon = (codeHash: string) => Promise<boolean>;

/**
 * Throws SlowDown for a poll that comes too soon, of which the library leaves open what that is. A code that is answered goes
 * on at once: of parallel polls one begins the family, and all receive its refresh token.
 */
export const refuseTooSoon =
  (tooSoon: PollsTooSoon) =>
  async (code: Code, value: string): Promise<void> => {
    const scope = currentScope();
    if (!scope?.isTokenRequest || code.clientId !== scope.client?.clientId) return;
    const waits = !code.grantId && !code.error && !code.isExpired;
    if (waits && (await tooSoon(sha256(value)))) throw new errors.SlowDown();
  };
