/**
 * The proof that is asked of somebody who is signed in, before they change their password or second factor: the current
 * password by OPAQUE and the current factor, both anew, whatever the session proved before. It is a step token of one
 * exchange. Wrong passwords and codes count to the same failures as those of a login.
 */
import type { Account, Accounts } from '../accounts/accounts.ts';
import { type Factor, parseCode } from '../lib/typed_code.ts';
import type { Query } from '../storage/database.ts';
import type { Totp } from '../totp/totp.ts';
import type { Browser } from './buckets.ts';
import type { Exchange } from './exchange.ts';
import type { Passwords } from './password.ts';
import { proofRequired } from './refusals.ts';
import type { SecondFactor } from './second_factor.ts';
import type { StepToken, StepTokens } from './step_tokens.ts';

/** Somebody who is signed in. */
export interface Who {
  account: Account;
  sessionUid: string;
}

export interface StepUpDeps {
  passwords: Pick<Passwords, 'loginInit' | 'loginFinish'>;
  secondFactor: Pick<SecondFactor, 'attempt'>;
  totp: Pick<Totp, 'verifierFor'>;
  stepTokens: StepTokens;
  query: Query;
  accounts: Pick<Accounts, 'holdsCredential'>;
}

export interface StepUp {
  /** A live session has failures of its own: what strangers do elsewhere never keeps it from proving the password. */
  init(who: Who, exchange: Exchange, ke1: string, browser: Browser): Promise<{ ke2: string }>;
  /**
   * The proof as a token that is good for `seconds`, and by which factor. Throws AppError 401 `invalid_credentials` or
   * `invalid_code`, 400 `malformed_code`, 429.
   */
  finish(
    who: Who,
    exchange: Exchange,
    given: { ke3: string; code: string; seconds: number },
    browser: Browser,
  ): Promise<{ token: string; factor: Factor }>;
  /** Undefined for whatever is not a live proof for this exchange by who is signed in here. */
  open(who: Who, exchange: Exchange, token: string | undefined): Promise<StepToken | undefined>;
  /**
   * Uses a proof up in the transaction of the change. False where it was used before: its change was made. Throws AppError 401
   * `proof_required` where the password is another one meanwhile.
   */
  use(query: Query, proof: StepToken): Promise<boolean>;
  /** The same, and throws AppError 401 `proof_required` where it was used before. */
  spend(query: Query, proof: StepToken): Promise<void>;
}

export function createStepUp(deps: StepUpDeps): StepUp {
  const { passwords, secondFactor, totp, stepTokens, accounts, query } = deps;
  const use: StepUp['use'] = async (query, { accountId, credentialId, jti }) => {
    if (!(await accounts.holdsCredential(query, accountId, credentialId))) throw proofRequired();
    return stepTokens.spend(query, jti);
  };
  return {
    init: ({ account, sessionUid }, exchange, ke1, browser) =>
      passwords.loginInit(exchange, account.username, ke1, {
        ...browser,
        session: { accountId: account.id, uid: sessionUid },
        clientId: undefined,
      }),
    async finish({ account }, exchange, { ke3, code, seconds }, browser) {
      const proved = await passwords.loginFinish(exchange, ke3);
      // After the password, whose attempt would count as a failed one otherwise.
      const typed = parseCode(code);
      const use = await totp.verifierFor(query, account.id);
      const factor = await secondFactor.attempt(account, browser, (within) => use(within, typed));
      return { token: await stepTokens.issue(proved, exchange, seconds), factor };
    },
    async open(who, exchange, token) {
      const proof = await stepTokens.open(token, exchange);
      const theirs = proof?.accountId === who.account.id && proof.credentialId === who.account.credentialId;
      return theirs ? proof : undefined;
    },
    use,
    async spend(query, proof) {
      if (!(await use(query, proof))) throw proofRequired();
    },
  };
}
