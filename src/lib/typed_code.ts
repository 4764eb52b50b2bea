/** Codes as people type them: which factor a text is a code of, without what was added to read or type it. Pure. */
import { AppError } from './errors.ts';

export type Factor = 'otp' | 'recovery_code';

export interface TypedCode {
  factor: Factor;
  /** Six ASCII digits, or a recovery code in small letters without hyphens. */
  text: string;
}

/**
 * The outcome of a code that is right for another time: it was refused, and the person is told that a clock is wrong. The code
 * of a step to come is made worthless first, so that a guesser who is told so has learnt nothing that can be used later.
 */
export const otherTime = Symbol('right for another time');

/** Letters and digits of a recovery code: none that look alike. */
export const recoveryAlphabet = 'abcdefghjkmnpqrstuvwxyz23456789';
export const recoveryCodeLength = 12;
const recoveryCodeForm = new RegExp(`^[${recoveryAlphabet}]{${recoveryCodeLength}}$`);

/** Spaces, dashes of every kind, and characters that cannot be seen. */
const additions = /[\s\p{Pd}\p{Cf}\u2212]/gu;

/**
 * A code of the authenticator or a recovery code. `123 456`, `123-456` and full-width digits are codes too. Throws AppError
 * 400 `malformed_code`, which is thrown before an attempt is counted: such a text could never have been right.
 */
export function parseCode(typed: string): TypedCode {
  const text = typed.normalize('NFKC').replace(additions, '').toLowerCase();
  if (/^[0-9]{6}$/.test(text)) return { factor: 'otp', text };
  if (recoveryCodeForm.test(text)) return { factor: 'recovery_code', text };
  throw new AppError(
    'malformed_code',
    'This is not a code. Enter the six digits that your authenticator shows, or one of your recovery codes.',
  );
}

/** A code of the authenticator. Throws AppError 400 `malformed_code` for everything else, recovery codes included. */
export function parseTotpCode(typed: string): TypedCode {
  const code = parseCode(typed);
  if (code.factor === 'otp') return code;
  throw new AppError('malformed_code', 'Enter the six digits that your authenticator shows.');
}
