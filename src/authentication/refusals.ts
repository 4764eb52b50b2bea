/** What is thrown where a proof is missing, wrong or too old. */
import { AppError } from '../lib/errors.ts';

/** 401, with whose password it was, for the audit log alone. */
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

/** 409: a step out of turn. */
export const wrongStep = (): AppError =>
  new AppError('wrong_step', 'This step does not fit here. Go back to the sign-in page.');

/** 401: the password was not proved in this browser for this interaction, or too long ago, or it led to a login. */
export const stepRequired = (): AppError =>
  new AppError('login_step_required', 'Your password entry has expired. Enter your password again.');

/** 401: the password and code were not given for this change, or too long ago, or the change was made with them. */
export const proofRequired = (): AppError =>
  new AppError('proof_required', 'Your confirmation has expired. Reload this page and confirm once more.');
