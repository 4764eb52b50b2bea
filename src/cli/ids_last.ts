/** Handles ids on the command line that look like options. */

/** 21 to 24 characters of base64url, a hyphen first. Unlike options, they contain capitals, digits or underscores. */
const looksLikeAnId = (word: string) => /^-(?=.*[A-Z0-9_])[\w-]{20,23}$/.test(word);

/**
 * Moves such ids to the end, after `--`. One id of a key or a session in 64 begins with a hyphen. So it can be
 * entered as it was printed: in an emergency nobody should need to know `--`.
 */
export function idsLast(words: readonly string[]): string[] {
  if (words.includes('--')) return [...words];
  const ids = words.filter(looksLikeAnId);
  return ids.length === 0 ? [...words] : [...words.filter((word) => !looksLikeAnId(word)), '--', ...ids];
}
