/** Settings that somebody has misspelt: they would be ignored, and the default would count without a word. Pure. */

/**
 * Names in `given` that are none of `known` and look like one: each with the one that was probably meant. An environment holds
 * much that is not ours, so a name is reported only where little is different.
 */
export function misnamed(given: string[], known: string[]): { name: string; meant: string }[] {
  const taken = new Set(known);
  return given
    .filter((name) => !taken.has(name))
    .flatMap((name) => {
      const meant = known.find((each) => looksLike(name, each));
      return meant === undefined ? [] : [{ name, meant }];
    })
    .sort((a, b) => a.name.localeCompare(b.name));
}

const shortest = 6;

function looksLike(name: string, known: string): boolean {
  const plain = name.toUpperCase().replace(/^CYPHER_/, '');
  // Other case, a prefix, or words that are put together otherwise: SIGNUP, Sign_Up, CYPHER_PORT.
  if (plain !== name && plain === known) return true;
  if (letters(plain) === letters(known) && plain.length >= shortest) return true;
  if (known.length < shortest || plain.length < shortest - 1) return false;
  // Words that are missing or too many: SESSION_IDLE, SIGN_UP_MODE, ISSUER_FILE.
  if (known.startsWith(`${plain}_`) && plain.includes('_') && plain.length * 2 >= known.length) return true;
  if (plain.startsWith(`${known}_`) && (known.includes('_') || plain === `${known}_FILE`)) return true;
  return distance(plain, known) <= Math.floor(known.length / 5);
}

const letters = (name: string): string => name.replaceAll('_', '');

/** How many letters have to be added, left out or changed (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...a].entries()) {
    const next = [index + 1];
    for (const [column, other] of [...b].entries()) {
      const changed = (row[column] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(changed, (next[column] ?? 0) + 1, (row[column + 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
