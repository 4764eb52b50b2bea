/** Normalizes a password, and checks its least length. */

/** In code points after NFC, which is how people count characters. */
const LEAST_CHARACTERS = 12;

/** Gives a password one form: the same keys pressed on two systems must give the same bytes. Never truncates. */
export function normalizePassword(password: string): string {
  return password.normalize('NFC');
}

/** How many characters are missing to the least length. 0 if it is long enough. */
export function missingCharacters(password: string): number {
  return Math.max(0, LEAST_CHARACTERS - [...normalizePassword(password)].length);
}
