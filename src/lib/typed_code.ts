/** Parses codes as people type them: recognizes the factor, and removes spaces and hyphens. Pure. */
import { AppError } from './errors.ts';

export type Factor = 'otp' | 'recovery_code';

export interface TypedCode {
  factor: Factor;
  /** Six ASCII digits, or a recovery code in lower case without hyphens. */
  text: string;
}

/**
 * The outcome of a code that is right for another time. It is refused, and the person is told that a clock is wrong.
 * The code of a future step is invalidated first, so that this answer does not help a guesser later.
 */
export const otherTime = Symbol('right for another time');

/** The letters and digits of a recovery code. None of them look alike. */
export const recoveryAlphabet = 'abcdefghjkmnpqrstuvwxyz23456789';
export const recoveryCodeLength = 12;
const recoveryCodeForm = new RegExp(`^[${recoveryAlphabet}]{${recoveryCodeLength}}$`);

/** Spaces, dashes of every kind, and invisible characters. */
const additions = /[\s\p{Pd}\p{Cf}\u2212]/gu;

/**
 * A code of the authenticator or a recovery code. Also accepts `123 456`, `123-456` and full-width digits. Throws
 * AppError 400 `malformed_code` for any other text. Call it before you count an attempt: such a text cannot be a
 * guess.
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
