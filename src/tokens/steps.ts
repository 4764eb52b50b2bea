/**
 * Step tokens: what a browser has just proved of an account, as a PASETO for 180 seconds and one use. What was proved, and
 * what for, is bound into the token: one for a login is none for the account page, and the other way round. It names the
 * credential whose password was proved, and is worth nothing once that password was changed. Handed to the features that
 * ask for proofs.
 */
import { randomId } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Query } from '../storage/database.ts';
import { spend } from '../storage/spent.ts';
import type { Tokens } from './tokens.ts';

/** Whose password was proved, and which: the credential id is another one after every change. */
export interface Proved {
  accountId: string;
  credentialId: string;
}

export interface Step extends Proved {
  jti: string;
  /** Whether it is young enough for what is no set-up. */
  isFresh: boolean;
}

/** What a token is good for: each name here is a claim that must have just this value. No two uses have the same names. */
export type StepPurpose =
  /** The second factor of a login; of this interaction. */
  | { interaction: string; pass_authed: true }
  /** One kind of change on the account page; in this sign-on session, which proved the second factor too. */
  | { session: string; change: string };

export interface Steps {
  readonly seconds: number;
  /** `seconds`: how long it is good for. */
  issue(proved: Proved, purpose: StepPurpose, seconds?: number): Promise<string>;
  /** Undefined for whatever is not a live token for just this purpose. */
  open(token: string | undefined, purpose: StepPurpose): Promise<Step | undefined>;
  /** Uses the token up, in the transaction of `query`. False where it was used before: of parallel uses one goes on. */
  spend(query: Query, jti: string): Promise<boolean>;
}

export function createSteps(tokens: Pick<Tokens, 'seal' | 'open'>, now: () => number): Steps {
  return {
    seconds: lifeSeconds.stepToken,
    issue: ({ accountId, credentialId }, purpose, seconds = lifeSeconds.stepToken) =>
      tokens.seal(
        'step',
        { ...purpose, sub: accountId, credential: credentialId, jti: randomId() },
        { expiresAt: Math.floor(now() / 1000) + seconds },
      ),
    async open(token, purpose) {
      const claims = token === undefined ? undefined : await tokens.open('step', token);
      if (!claims || !Object.entries(purpose).every(([name, value]) => claims[name] === value))
        return undefined;
      const { sub, credential, jti } = claims;
      if (typeof sub !== 'string' || typeof credential !== 'string' || typeof jti !== 'string')
        return undefined;
      const isFresh = now() / 1000 - claims.iat < lifeSeconds.stepToken;
      return { accountId: sub, credentialId: credential, jti, isFresh };
    },
    spend: (query, jti) => spend(query, `step:${jti}`, now() + lifeSeconds.setUpToken * 1000),
  };
}
