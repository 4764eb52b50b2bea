/** What a password is, before anything is done with it: its one spelling and its least length. */

/** In characters as people count them on a keyboard: code points after NFC. */
const LEAST_CHARACTERS = 12;

/** One spelling per password: the same key presses on two systems must give the same bytes. Never truncated. */
export function normalizePassword(password: string): string {
  return password.normalize('NFC');
}

/** How many characters are missing to the least length; 0 where it is long enough. */
export function missingCharacters(password: string): number {
  return Math.max(0, LEAST_CHARACTERS - [...normalizePassword(password)].length);
}
