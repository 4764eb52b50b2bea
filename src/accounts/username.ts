/** Decides what may be a username, and which spellings are the same name. */
import { invalidRequest } from '../lib/errors.ts';

export interface Username {
  /** As the person wrote it, in NFKC. For display. */
  readonly shown: string;
  /** NFKC and case-folded. All spellings of a name share one account and one count of failures. */
  readonly key: string;
}

// \p{DI}: characters that are not visible (fillers, variation selectors). With them two names could look the same.
const allowed = /^[[\p{L}\p{M}\p{N}._@+\-]--\p{DI}]{1,64}$/v;

/** Checks and folds a username. Throws AppError 400 if it cannot be one. */
export function parseUsername(value: string): Username {
  const shown = value.trim().normalize('NFKC');
  // Upper case, then lower case: this also folds what lower case alone keeps apart (ß and SS, final sigma). Lower
  // case before that, for ẞ.
  const key = shown.toLowerCase().toUpperCase().toLowerCase().normalize('NFKC');
  if (!allowed.test(shown) || !allowed.test(key)) {
    throw invalidRequest('A username has 1 to 64 letters, digits or . _ - @ + and no spaces.');
  }
  return { shown, key };
}
