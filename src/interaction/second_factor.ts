/**
 * The second factor's part of a login: the authenticator's set-up, its codes and the recovery codes. Everything here is
 * done by somebody who has just proved the password in this browser; an attempt is charged before it is looked at.
 */
import type { Account, Accounts } from '../accounts/accounts.ts';
import type { Failures } from '../accounts/failures.ts';
import { AppError } from '../lib/errors.ts';
import type { Database, Query } from '../storage/database.ts';
import type { Step, Steps } from '../tokens/steps.ts';
import type { Totp, TotpSetup } from '../totp/totp.ts';
import type { Devices } from './devices.ts';

export interface SecondFactorDeps {
  accounts: Pick<Accounts, 'byId' | 'holdsCredential'>;
  totp: Totp;
  failures: Failures;
  devices: Devices;
  steps: Pick<Steps, 'spend'>;
  database: Database;
}

/** A completed login: who, and how it happened (RFC 8176). */
export interface Completed {
  account: Account;
  amr: string[];
}

export interface SecondFactor {
  /**
   * Charges an attempt, makes it, and forgets the account's failures, in one commit. An attempt that comes to undefined was a
   * wrong code and has written nothing: the charge stays. Throws AppError 401 `invalid_code`, 429.
   */
  attempt<T>(
    account: Account,
    device: string | undefined,
    attempt: (query: Query) => Promise<T | undefined>,
  ): Promise<T>;
  setup(uid: string, account: Account): TotpSetup;
  /** Confirms the authenticator by its first code. Throws AppError 401 `invalid_code`, 409 where it is confirmed. */
  confirm(
    uid: string,
    step: Step,
    code: string,
    device: string | undefined,
  ): Promise<Completed & { recoveryCodes: string[] }>;
  /** Takes a code of the authenticator or a recovery code. Throws AppError 401 `invalid_code`. */
  verify(step: Step, code: string, device: string | undefined): Promise<Completed>;
}

const amrOf = { otp: ['pwd', 'otp', 'mfa'], recovery_code: ['pwd', 'mfa'] };

export function createSecondFactor(deps: SecondFactorDeps): SecondFactor {
  const { accounts, totp, failures, devices, steps, database } = deps;

  const attempt: SecondFactor['attempt'] = async (account, device, make) => {
    const bucket = devices.bucket(account.usernameKey, device);
    let charged = false;
    const made = await database
      .transaction(async (query) => {
        // With what is charged, parallel guesses wait for the end of this one.
        await failures.charge(bucket, query);
        charged = true;
        const result = await make(query);
        if (result !== undefined) await failures.clear(bucket, query);
        return result;
      })
      .catch(async (error) => {
        // What was refused for another reason is undone, and the charge with it: it still counts.
        if (charged && error instanceof AppError && error.status < 500) await failures.charge(bucket);
        throw error;
      });
    if (made === undefined) throw new AppError('invalid_code', 'This code is wrong or was used before.');
    return made;
  };

  /** An attempt that uses the login step up, and that of the password which the account still has. */
  async function once<T>(
    step: Step,
    device: string | undefined,
    make: (query: Query, account: Account) => Promise<T | undefined>,
  ): Promise<{ account: Account; result: T }> {
    const account = await accounts.byId(step.accountId);
    if (!account) throw stepRequired();
    const result = await attempt(account, device, async (query) => {
      const made = await make(query, account);
      if (made === undefined) return undefined;
      if (!(await accounts.holdsCredential(query, account.id, step.credentialId))) throw stepRequired();
      if (!(await steps.spend(query, step.jti))) throw stepRequired();
      return made;
    });
    return { account, result };
  }

  return {
    attempt,
    setup: (uid, account) => totp.setup(uid, account),
    async confirm(uid, step, code, device) {
      const { account, result } = await once(step, device, (query, who) =>
        totp.confirm(query, who, totp.setup(uid, who).secret, code),
      );
      return { account, amr: amrOf.otp, recoveryCodes: result };
    },
    async verify(step, code, device) {
      const use = await totp.against(database.query, step.accountId);
      const { account, result } = await once(step, device, (query) => use(query, code));
      return { account, amr: amrOf[result] };
    },
  };
}

/** 401: the password was not proved in this browser for this interaction, or too long ago, or it led to a login. */
export const stepRequired = (): AppError =>
  new AppError('login_step_required', 'Your password entry has expired. Enter your password again.');
