/**
 * The proof that somebody who is signed in must give before they change their password or second factor. It needs the
 * current password, by OPAQUE, and a code of the current factor, whatever the session has proved before. The proof is
 * a step token of one exchange. Wrong passwords and codes count like those of a login.
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
  /**
   * Begins the proof of the password. A live session has its own count of failures, so failures of strangers
   * elsewhere never block it. Throws AppError 429.
   */
  init(who: Who, exchange: Exchange, ke1: string, browser: Browser): Promise<{ ke2: string }>;
  /**
   * Returns the proof as a token that is valid for `seconds`, and which factor was used. Throws AppError 401
   * `invalid_credentials` or `invalid_code`, 400 `malformed_code`, 429.
   */
  finish(
    who: Who,
    exchange: Exchange,
    given: { ke3: string; code: string; seconds: number },
    browser: Browser,
  ): Promise<{ token: string; factor: Factor }>;
  /** Undefined unless this is a valid proof for this exchange by the person who is signed in here. */
  open(who: Who, exchange: Exchange, token: string | undefined): Promise<StepToken | undefined>;
  /**
   * Uses a proof up, in the transaction of the change. False if it was used before: then its change was made. Throws
   * AppError 401 `proof_required` if the password was changed meanwhile.
   */
  use(query: Query, proof: StepToken): Promise<boolean>;
  /** Like `use`, but throws AppError 401 `proof_required` if the proof was used before. */
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
      // Parsed after the password is proved: a malformed code would otherwise leave the right password counted as a
      // failure.
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
