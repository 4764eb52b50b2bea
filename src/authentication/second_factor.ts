/**
 * The second factor's part of a login: the authenticator's set-up, its codes and the recovery codes. Everything here is
 * done by somebody who has just proved the account's password in this browser, as the step says; an attempt is charged before
 * it is looked at, and whether the account still is as it was read is decided by what is written.
 */

import type { Account, Accounts } from '../accounts/accounts.ts';
import type { AuthenticatorResets } from '../accounts/authenticator_resets.ts';
import { AppError, TooManyFailures } from '../lib/errors.ts';
import { createFewAtOnce } from '../lib/few_at_once.ts';
import { otherTime, parseCode, parseTotpCode } from '../lib/typed_code.ts';
import type { Database, Query } from '../storage/database.ts';
import type { Totp, TotpSetup } from '../totp/totp.ts';
import type { Browser, Buckets, CodeBuckets } from './buckets.ts';
import type { Failures } from './failures.ts';
import { otherTimesCode, stepRequired, wrongCode, wrongStep } from './refusals.ts';
import type { StepToken, StepTokens } from './step_tokens.ts';

export interface SecondFactorDeps {
  accounts: Pick<Accounts, 'holdsCredential'>;
  totp: Totp;
  failures: Failures;
  buckets: Pick<Buckets, 'ofCode'>;
  stepTokens: Pick<StepTokens, 'spend'>;
  resets: Pick<AuthenticatorResets, 'use'>;
  database: Database;
}

/** A completed login: who, and how it happened (RFC 8176). */
export interface Completed {
  account: Account;
  amr: string[];
  /** When this sign-in has ended everything else of the account, in milliseconds since the epoch. */
  endedOthersAt?: number | undefined;
}

/** What somebody sets up an authenticator with, in which browser. */
export interface SetUp {
  uid: string;
  account: Account;
  step: StepToken;
  /** The code as it was typed. */
  code: string;
  browser: Browser;
  /** The opened link by which a lost authenticator is replaced. */
  reset?: { token: string } | undefined;
}

export interface SecondFactor {
  /**
   * Charges an attempt, makes it, and forgets the account's failures, in one commit. An attempt that comes to undefined was a
   * wrong code and has written nothing, and so is one that comes to `otherTime`: the charge stays. Throws AppError 401
   * `invalid_code`, 429.
   */
  attempt<T extends object | string>(
    account: Account,
    browser: Browser,
    attempt: (query: Query) => Promise<T | typeof otherTime | undefined>,
  ): Promise<T>;
  setup(uid: string, account: Account): TotpSetup;
  /**
   * Confirms the authenticator by its first code. With `reset` it takes the place of a lost one, the link is used up, and
   * everything else of the account ends. `again`: this step has confirmed it before, and whoever has it did not receive
   * the recovery codes. Throws AppError 400 `malformed_code`, 401 `invalid_code`, 409 `wrong_step` where another one has confirmed it,
   * 403 `reset_ended`.
   */
  confirm(given: SetUp): Promise<Completed & { recoveryCodes: string[]; again: boolean }>;
  /** The recovery codes that came of confirming the authenticator by this step; undefined where others have replaced them. */
  recoveryCodesOf(step: StepToken): Promise<string[] | undefined>;
  /** Whether this step has confirmed the authenticator, and nothing has come of it since. */
  hasConfirmed(step: StepToken): Promise<boolean>;
  /** Takes a code of the authenticator or a recovery code. Throws AppError 400 `malformed_code`, 401 `invalid_code`. */
  verify(account: Account, step: StepToken, typed: string, browser: Browser): Promise<Completed>;
}

const amrOf = { otp: ['pwd', 'otp', 'mfa'], recovery_code: ['pwd', 'mfa'] };

export function createSecondFactor(deps: SecondFactorDeps): SecondFactor {
  const { accounts, totp, failures, buckets, stepTokens, resets, database } = deps;

  const fewAtOnce = createFewAtOnce();

  const attempt: SecondFactor['attempt'] = (account, browser, make) => {
    const charged = buckets.ofCode(account.usernameKey, browser);
    const asker = charged.own.at(0)?.id.toString('base64url') ?? '';
    return fewAtOnce(
      { accountId: account.id, asker, isKnown: charged.isKnown },
      () => attemptAlone(charged, make),
      () => failures.refuseBlocked([...charged.own, charged.day]),
    );
  };

  async function attemptAlone<T extends object | string>(
    { own, day, networks }: CodeBuckets,
    make: (query: Query) => Promise<T | typeof otherTime | undefined>,
  ): Promise<T> {
    let charged = false;
    const made = await database
      .transaction(async (query) => {
        // With what is charged, parallel guesses wait for the end of this one.
        await failures.charge([...own, day], query);
        charged = true;
        const result = await make(query);
        if (result !== undefined && result !== otherTime)
          await failures.settle({ forget: own, refund: [day] }, query);
        return result;
      })
      .catch(async (error) => {
        // What was refused for another reason is undone, and the charge with it: it still counts.
        if (charged && error instanceof AppError && stillCounts(error)) await failures.charge([...own, day]);
        throw error;
      });
    if (made !== undefined && made !== otherTime) return made;
    if (networks.length > 0) await failures.charge(networks).catch(alreadyBlocked);
    throw made === undefined ? wrongCode() : otherTimesCode();
  }

  /** Uses the login step up, and that of the password which the account still has. */
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
      const use = await totp.against(database.query, account.id);
      const factor = await attempt(account, browser, async (query) => {
        const used = await use(query, code);
        if (used && used !== otherTime) await spend(query, step);
        return used;
      });
      return { account, amr: amrOf[factor] };
    },
  };
}

/** The network has too many failures without this one. */
function alreadyBlocked(error: unknown): void {
  if (!(error instanceof TooManyFailures)) throw error;
}

/** Whether an attempt that ended so is one of those that are limited; where storage has failed, nothing can be counted. */
const stillCounts = ({ status, code }: AppError): boolean => status < 500 || code === 'factor_unreadable';
