/** The errors for a proof that is missing, wrong or expired. */
import { AppError } from '../lib/errors.ts';

/** 401. `accountId`: the account whose password was tried, for the audit log only. */
export class WrongPassword extends AppError {
  readonly accountId: string | undefined;

  constructor(accountId?: string) {
    super('invalid_credentials', 'Username or password is wrong.');
    this.accountId = accountId;
  }
}

export const wrongCode = (): AppError =>
  new AppError('invalid_code', 'This code is wrong or was used before.');

export const otherTimesCode = (): AppError =>
  new AppError(
    'invalid_code',
    'This code is for another time: the clock of your phone is wrong. Set its date and time to automatic, then enter the next code.',
  );

/** 409: a step in the wrong order. */
export const wrongStep = (): AppError =>
  new AppError('wrong_step', 'This step does not fit here. Go back to the sign-in page.');

/**
 * 401: there is no valid step token. The password was not proved in this browser for this interaction, the token has
 * expired, or it was used by a login.
 */
export const stepRequired = (): AppError =>
  new AppError('login_step_required', 'Your password entry has expired. Enter your password again.');

/**
 * 401: there is no valid proof for this change. It was never given, it has expired, or the change was made with it.
 */
export const proofRequired = (): AppError =>
  new AppError('proof_required', 'Your confirmation has expired. Reload this page and confirm once more.');
