/**
 * The login-step token: proof that this browser has proved this account's password for this interaction, for 180
 * seconds and one use. It lets its bearer do nothing but the second factor.
 */
import { randomId } from '../lib/crypto.ts';
import type { Query } from '../storage/database.ts';
import { spend } from '../storage/spent.ts';
import type { Tokens } from '../tokens/tokens.ts';

export const loginStepSeconds = 180;

export interface LoginStep {
  accountId: string;
  jti: string;
}

export interface LoginSteps {
  issue(interactionUid: string, accountId: string): Promise<string>;
  /** Undefined for whatever is not a live token of this interaction. */
  open(token: string | undefined, interactionUid: string): Promise<LoginStep | undefined>;
  /** Uses the token up. False where it was used before: of parallel uses one goes on. */
  spend(query: Query, jti: string): Promise<boolean>;
}

export function createLoginSteps(tokens: Pick<Tokens, 'seal' | 'open'>, now: () => number): LoginSteps {
  return {
    issue: (interactionUid, accountId) =>
      tokens.seal(
        'step',
        { sub: accountId, interaction: interactionUid, pass_authed: true, jti: randomId() },
        { expiresAt: Math.floor(now() / 1000) + loginStepSeconds },
      ),
    async open(token, interactionUid) {
      const claims = token === undefined ? undefined : await tokens.open('step', token);
      if (claims?.interaction !== interactionUid || claims.pass_authed !== true) return undefined;
      if (typeof claims.sub !== 'string' || typeof claims.jti !== 'string') return undefined;
      return { accountId: claims.sub, jti: claims.jti };
    },
    spend: (query, jti) => spend(query, `step:${jti}`, now() + loginStepSeconds * 1000),
  };
}
