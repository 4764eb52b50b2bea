/**
 * The second factor's part of a login: the authenticator's set-up, its codes and the recovery codes. Everything here is
 * done by somebody who has just proved the password in this browser; an attempt is charged before it is looked at.
 */
import type { Account, Accounts } from '../accounts/accounts.ts';
import type { Failures } from '../accounts/failures.ts';
import { AppError } from '../lib/errors.ts';
import type { Database, Query } from '../storage/database.ts';
import type { Totp, TotpSetup } from '../totp/totp.ts';
import type { Devices } from './devices.ts';
import type { LoginStep, LoginSteps } from './login_step.ts';

export interface SecondFactorDeps {
  accounts: Pick<Accounts, 'byId'>;
  totp: Totp;
  failures: Failures;
  devices: Devices;
  loginSteps: LoginSteps;
  database: Database;
}

/** A completed login: who, and how it happened (RFC 8176). */
export interface Completed {
  account: Account;
  amr: string[];
}

export interface SecondFactor {
  setup(uid: string, account: Account): TotpSetup;
  /** Confirms the authenticator by its first code. Throws AppError 401 `invalid_code`, 409 where it is confirmed. */
  confirm(
    uid: string,
    step: LoginStep,
    code: string,
    device: string | undefined,
  ): Promise<Completed & { recoveryCodes: string[] }>;
  /** Takes a code of the authenticator or a recovery code. Throws AppError 401 `invalid_code`. */
  verify(step: LoginStep, code: string, device: string | undefined): Promise<Completed>;
}

const amrOf = { otp: ['pwd', 'otp', 'mfa'], recovery_code: ['pwd', 'mfa'] };

export function createSecondFactor(deps: SecondFactorDeps): SecondFactor {
  const { accounts, totp, failures, devices, loginSteps, database } = deps;

  /** Charges, runs `attempt`, uses the login step up and forgets the failures: all of it or nothing. */
  async function once<T>(
    step: LoginStep,
    device: string | undefined,
    attempt: (query: Query, account: Account) => Promise<T | undefined>,
  ): Promise<{ account: Account; result: T }> {
    const account = await accounts.byId(step.accountId);
    if (!account) throw stepRequired();
    const bucket = devices.bucket(account.usernameKey, device);
    await failures.charge(bucket);
    const result = await database.transaction(async (query) => {
      const attempted = await attempt(query, account);
      if (attempted === undefined)
        throw new AppError('invalid_code', 'This code is wrong or was used before.');
      if (!(await loginSteps.spend(query, step.jti))) throw stepRequired();
      await failures.clear(bucket, query);
      return attempted;
    });
    return { account, result };
  }

  return {
    setup: (uid, account) => totp.setup(uid, account),
    async confirm(uid, step, code, device) {
      const { account, result } = await once(step, device, (query, who) =>
        totp.confirm(query, who, totp.setup(uid, who).secret, code),
      );
      return { account, amr: amrOf.otp, recoveryCodes: result };
    },
    async verify(step, code, device) {
      const { account, result } = await once(step, device, (query, who) => totp.use(query, who.id, code));
      return { account, amr: amrOf[result] };
    },
  };
}

/** 401: the password was not proved in this browser for this interaction, or too long ago, or it led to a login. */
export const stepRequired = (): AppError =>
  new AppError('login_step_required', 'Your password entry has expired. Enter your password again.');
