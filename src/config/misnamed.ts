/** Finds misspelt settings. Without a warning they would be ignored, and the default would apply. Pure. */

/**
 * The names in `given` that are not in `known` but look like one of them, with the name that was probably meant. An
 * environment contains many variables that are not ours, so a name is reported only if it differs little.
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
  // Other case, a prefix, or words that are joined differently: SIGNUP, Sign_Up, CYPHER_PORT.
  if (plain !== name && plain === known) return true;
  if (letters(plain) === letters(known) && plain.length >= shortest) return true;
  if (known.length < shortest || plain.length < shortest - 1) return false;
  // Missing or additional words: SESSION_IDLE, SIGN_UP_MODE, ISSUER_FILE.
  if (known.startsWith(`${plain}_`) && plain.includes('_') && plain.length * 2 >= known.length) return true;
  if (plain.startsWith(`${known}_`) && (known.includes('_') || plain === `${known}_FILE`)) return true;
  return distance(plain, known) <= Math.floor(known.length / 5);
}

const letters = (name: string): string => name.replaceAll('_', '');

/** The number of letters to add, remove or change (Levenshtein distance). */
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
