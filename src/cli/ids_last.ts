/** Ids on the command line that would be taken for options. */

/** 21 to 24 letters of base64url, with more among them than the small ones and hyphens that options are made of. */
const looksLikeAnId = (word: string) => /^-(?=.*[A-Z0-9_])[\w-]{20,23}$/.test(word);

/**
 * One id of a key or a session in 64 begins with a hyphen. These are put last, after `--`, so that they can be given as they
 * were printed; in an emergency nobody should have to know of `--`.
 */
export function idsLast(words: readonly string[]): string[] {
  if (words.includes('--')) return [...words];
  const ids = words.filter(looksLikeAnId);
  return ids.length === 0 ? [...words] : [...words.filter((word) => !looksLikeAnId(word)), '--', ...ids];
}
