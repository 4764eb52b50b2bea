/**
 * Step tokens: what a browser has just proved of an account, as a PASETO for 180 seconds and one use. What was proved, and
 * for which exchange, is bound into the token: one for a login is none for the account page, and the other way round. It
 * names the credential whose password was proved, and is worth nothing once that password was changed.
 */
import { randomId } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Query } from '../storage/database.ts';
import { spend } from '../storage/spent.ts';
import type { Tokens } from '../tokens/tokens.ts';
import type { Exchange } from './exchange.ts';

/** Whose password was proved, and which: the credential id is another one after every change. */
export interface Proved {
  accountId: string;
  credentialId: string;
}

export interface StepToken extends Proved {
  jti: string;
  /** Whether it is young enough for what is no set-up. */
  isFresh: boolean;
}

export interface StepTokens {
  /** `seconds`: how long it is good for. */
  issue(proved: Proved, exchange: Exchange, seconds?: number): Promise<string>;
  /** Undefined for whatever is not a live token for just this exchange. */
  open(token: string | undefined, exchange: Exchange): Promise<StepToken | undefined>;
  /** Uses the token up, in the transaction of `query`. False where it was used before: of parallel uses one goes on. */
  spend(query: Query, jti: string): Promise<boolean>;
}

/** Each name here is a claim that must have just this value. No two kinds of exchange have the same names. */
const claimsOf = (exchange: Exchange): Record<string, string | true> =>
  exchange.for === 'interaction'
    ? { interaction: exchange.uid, pass_authed: true }
    : { session: exchange.session, change: exchange.change };

export function createStepTokens(tokens: Pick<Tokens, 'seal' | 'open'>, now: () => number): StepTokens {
  return {
    issue: ({ accountId, credentialId }, exchange, seconds = lifeSeconds.stepToken) =>
      tokens.seal(
        'step',
        { ...claimsOf(exchange), sub: accountId, credential: credentialId, jti: randomId() },
        { expiresAt: Math.floor(now() / 1000) + seconds },
      ),
    async open(token, exchange) {
      const claims = token === undefined ? undefined : await tokens.open('step', token);
      if (!claims || !Object.entries(claimsOf(exchange)).every(([name, value]) => claims[name] === value))
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
