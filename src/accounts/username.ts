/** User names: what may be one, and which spellings are the same one. */
import { invalidRequest } from '../lib/errors.ts';

export interface Username {
  /** As the person wrote it, NFKC: for showing. */
  readonly shown: string;
  /** NFKC and case-folded: one account and one rate-limit bucket whatever the spelling. */
  readonly key: string;
}

// \p{DI}: letters and marks that nothing shows of (fillers, variation selectors), by which two names would look the same.
const allowed = /^[[\p{L}\p{M}\p{N}._@+\-]--\p{DI}]{1,64}$/v;

/** Checks and folds a user name. Throws AppError 400 where it cannot be one. */
export function parseUsername(value: string): Username {
  const shown = value.trim().normalize('NFKC');
  // Upper, then lower case folds what lower case alone leaves apart (ß and SS, final sigma); lower case first, for ẞ.
  const key = shown.toLowerCase().toUpperCase().toLowerCase().normalize('NFKC');
  if (!allowed.test(shown) || !allowed.test(key)) {
    throw invalidRequest('A username has 1 to 64 letters, digits or . _ - @ + and no spaces.');
  }
  return { shown, key };
}
