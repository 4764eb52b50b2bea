/**
 * A step token says what a browser has just proved for an account. It is a PASETO with a short lifetime and works
 * once. It is bound to its exchange: a token of a login is not accepted on the account page, nor the reverse. It is
 * also bound to the credential whose password was proved: after a change of the password it is not accepted.
 */
import { randomId } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Query } from '../storage/database.ts';
import { spend } from '../storage/spent.ts';
import type { Tokens } from '../tokens/tokens.ts';
import type { Exchange } from './exchange.ts';

/** Whose password was proved, and which password: the credential id changes with every password. */
export interface Proved {
  accountId: string;
  credentialId: string;
}

export interface StepToken extends Proved {
  jti: string;
  /** True within the lifetime of an ordinary step token. A token for a set-up stays valid for longer. */
  isFresh: boolean;
}

export interface StepTokens {
  /** `seconds`: the lifetime. */
  issue(proved: Proved, exchange: Exchange, seconds?: number): Promise<string>;
  /** Undefined unless this is a valid token of this exchange. Does not check whether it was used. */
  open(token: string | undefined, exchange: Exchange): Promise<StepToken | undefined>;
  /**
   * Uses the token up, in the transaction of `query`. False if it was used before: of parallel uses only one gets
   * true.
   */
  spend(query: Query, jti: string): Promise<boolean>;
}

/**
 * The claims that a token of this exchange must have, with exactly these values. The two kinds of exchange have no
 * claim name in common, so that a token of one can never pass for one of the other.
 */
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
