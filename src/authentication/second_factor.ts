/**
 * The second factor's part of a login: the authenticator's set-up, its codes and the recovery codes. Each function
 * needs a step token, which says that the account's password was just proved in this browser. Attempts are counted by
 * code_attempt.ts. The account may have changed since it was read, so the statements that write check it again.
 */

import type { Account, Accounts } from '../accounts/accounts.ts';
import type { AuthenticatorResets } from '../accounts/authenticator_resets.ts';
import { otherTime, parseCode, parseTotpCode } from '../lib/typed_code.ts';
import type { Query } from '../storage/database.ts';
import type { Totp, TotpSetup } from '../totp/totp.ts';
import type { Browser } from './buckets.ts';
import { type CodeAttempt, type CodeAttemptDeps, createCodeAttempt } from './code_attempt.ts';
import { stepRequired, wrongStep } from './refusals.ts';
import type { StepToken, StepTokens } from './step_tokens.ts';

export interface SecondFactorDeps extends CodeAttemptDeps {
  accounts: Pick<Accounts, 'holdsCredential'>;
  totp: Totp;
  stepTokens: Pick<StepTokens, 'spend'>;
  resets: Pick<AuthenticatorResets, 'use'>;
}

/** A completed login: whose, and by which methods (RFC 8176). */
export interface Completed {
  account: Account;
  amr: string[];
  /** If this sign-in has ended everything else of the account: when that was, in milliseconds since the epoch. */
  endedOthersAt?: number | undefined;
}

/** What is needed to set up an authenticator. */
export interface SetUp {
  uid: string;
  account: Account;
  step: StepToken;
  /** The code as it was typed. */
  code: string;
  browser: Browser;
  /** The opened link that allows this browser to replace a lost authenticator. */
  reset?: { token: string } | undefined;
}

export interface SecondFactor {
  attempt: CodeAttempt;
  setup(uid: string, account: Account): TotpSetup;
  /**
   * Confirms the authenticator by its first code. With `reset` it replaces a lost one; then the link is used up, and
   * everything else of the account ends. `again`: the same step token has confirmed it before, but the recovery codes
   * did not arrive. Throws AppError 400 `malformed_code`, 401 `invalid_code` or `login_step_required`, 409
   * `wrong_step` if another step token has confirmed it, 403 `reset_ended`, 429.
   */
  confirm(given: SetUp): Promise<Completed & { recoveryCodes: string[]; again: boolean }>;
  /**
   * The recovery codes that were made when this step token confirmed the authenticator. Undefined if they were
   * replaced, or if one of them was used.
   */
  recoveryCodesOf(step: StepToken): Promise<string[] | undefined>;
  /** Whether this step token has confirmed the authenticator, and its recovery codes are still unused. */
  hasConfirmed(step: StepToken): Promise<boolean>;
  /**
   * Verifies a code of the authenticator or a recovery code, and uses up the code and the step token. Throws AppError
   * 400 `malformed_code`, 401 `invalid_code` or `login_step_required`, 429.
   */
  verify(account: Account, step: StepToken, typed: string, browser: Browser): Promise<Completed>;
}

const amrOf = { otp: ['pwd', 'otp', 'mfa'], recovery_code: ['pwd', 'mfa'] };

export function createSecondFactor(deps: SecondFactorDeps): SecondFactor {
  const { accounts, totp, stepTokens, resets, database } = deps;

  const attempt = createCodeAttempt(deps);

  /** Uses the step token up. Throws if it was used before, or if the account has another password by now. */
  async function spend(query: Query, { accountId, credentialId, jti }: StepToken): Promise<void> {
    if (!(await accounts.holdsCredential(query, accountId, credentialId))) throw stepRequired();
    if (!(await stepTokens.spend(query, jti))) throw stepRequired();
  }

  const recoveryCodesOf: SecondFactor['recoveryCodesOf'] = ({ accountId, jti }) =>
    totp.madeRecoveryCodes(database.query, accountId, jti);
  const hasConfirmed: SecondFactor['hasConfirmed'] = async (step) =>
    (await recoveryCodesOf(step)) !== undefined;

  return {
    attempt,
    setup: (uid, account) => totp.setup(uid, account),
    async confirm({ uid, account, step, code, browser, reset }) {
      if (account.totpConfirmed && !reset && !(await hasConfirmed(step))) throw wrongStep();
      const { secret } = totp.setup(uid, account);
      const proof = { secret, code: parseTotpCode(code), madeBy: step.jti };
      const set = reset ? totp.replace : totp.confirm;
      const shown = await attempt(account, browser, async (query) => {
        const recoveryCodes = await set(query, account, proof);
        if (recoveryCodes === otherTime) return otherTime;
        if (recoveryCodes) {
          await spend(query, step);
          const endedOthersAt = reset && (await resets.use(query, account.id, reset.token, browser.address));
          return { recoveryCodes, again: false, endedOthersAt };
        }
        const before = await totp.setBefore(query, account, proof);
        if (before && !(await accounts.holdsCredential(query, account.id, step.credentialId)))
          throw stepRequired();
        return before && { recoveryCodes: before, again: true };
      });
      return { account, amr: amrOf.otp, ...shown };
    },
    recoveryCodesOf,
    hasConfirmed,
    async verify(account, step, typed, browser) {
      const code = parseCode(typed);
      const use = await totp.verifierFor(database.query, account.id);
      const factor = await attempt(account, browser, async (query) => {
        const used = await use(query, code);
        if (used && used !== otherTime) await spend(query, step);
        return used;
      });
      return { account, amr: amrOf[factor] };
    },
  };
}
