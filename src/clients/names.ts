/**
 * Checks the name of a self-registered app, which must not mislead people. It must not contain a name of this site.
 * Names are compared by how their letters look. Whether an app of the operator has a similar name is not checked here:
 * `nameKey` makes the keys for that comparison. Pure.
 */

/**
 * What is wrong with the name of an app that the operator has not registered, as the end of a sentence. Undefined if
 * nothing is. `own`: names of this site.
 */
export function nameFault(name: string, own: readonly string[]): string | undefined {
  if (/[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|\p{M}{3}/u.test(name))
    return 'must hold no control, invisible or direction characters';
  if (name.trim() !== name || name === '') return 'must not begin or end with a space';
  // NFKC turns full-width, mathematical and superscript letters into the letters that people read.
  const read = name.normalize('NFKC');
  if ([...name].some(isEnclosedLetter)) return 'must not hold letters that are drawn as symbols';
  if (strangeLetter.test(read)) return 'must use letters of a script in wide use';
  if (alphabets.filter((letters) => letters.test(read)).length > 1 || mixedWord.test(read))
    return 'must not mix alphabets';
  // Pages show the verified host beside the name, so the name must not contain an address itself.
  if (address.test(read)) return 'must not hold an address';
  const key = nameKey(name);
  if (key === '') return 'must hold a letter or a digit';
  if (own.some((reserved) => key.includes(nameKey(reserved)))) return 'must not look like one of this site';
  return undefined;
}

/**
 * Letters in squares and circles, flags included. Most of them have no decomposition, so `nameKey` would drop them.
 */
const isEnclosedLetter = (character: string): boolean =>
  /[\u2460-\u24FF\u{1F100}-\u{1F1FF}]/u.test(character) ||
  (/\p{So}/u.test(character) && /\p{L}/u.test(character.normalize('NFKD')));

/** The scripts in wide modern use (UAX #31, table 5). Other scripts have whole alphabets that look like Latin. */
const scripts =
  `Common Inherited Arabic Armenian Bengali Bopomofo Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Han Hangul
  Hebrew Hiragana Kannada Katakana Khmer Lao Latin Malayalam Myanmar Oriya Sinhala Tamil Telugu Thaana Thai Tibetan`
    .split(/\s+/)
    .map((script) => `\\p{Script=${script}}`)
    .join('');

/** The Latin letters that languages are written with. Phonetic small capitals and medieval letters are left out. */
const latin = 'A-Za-z\\xAA\\xBA\\xC0-\\u024F\\u1E00-\\u1EFFɓɔɖɗəɛɣɨɩɲʉʊʋʒ';
const strangeLetter = new RegExp(`[^${scripts}]|(?![${latin}])\\p{Script=Latin}`, 'u');

/** Alphabets whose letters look like those of another alphabet in this list. A name may use only one of them. */
const alphabets = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u, /\p{Script=Armenian}/u];

/**
 * A word that mixes Latin letters with letters or digits of a script that is not used together with Latin in one
 * word.
 */
const mixedWord = (() => {
  const besideLatin =
    '0-9\\p{Lm}\\p{Script=Latin}\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}\\p{Script=Bopomofo}';
  const [within, foreign] = ['[\\p{L}\\p{M}\\p{Nd}]*', `(?![${besideLatin}])[\\p{L}\\p{Nd}]`];
  return new RegExp(`\\p{Script=Latin}${within}${foreign}|${foreign}${within}\\p{Script=Latin}`, 'u');
})();

/**
 * Finds something like `bank.com`. A real dot may have spaces around it. A character that looks like a dot also
 * separates words (`Notes · Acme`), so it only counts with a space on at most one side. The katakana dot separates
 * words in Japanese names, so it only counts before a Latin letter.
 */
const dotAlike = '[\\xB7\\u0660\\u06D4\\u06F0\\u0701\\u0702\\u2022\\u2027\\u2219\\u22C5\\u2E31\\u2E33]';
const address = new RegExp(
  `[\\p{L}\\p{N}](?:\\s*[.\\u3002]\\s*|\\s*${dotAlike}|${dotAlike}\\s*|\\u30FB(?=[A-Za-z]))\\p{L}{2}`,
  'u',
);
/** Letters and digits, with the Latin letter that they look like. */
const lookAlikes = new Map(
  [
    ['а\u0251α4', 'a'],
    ['еєεɛə3', 'e'],
    ['оοσөօø0', 'o'],
    ['рρƿ', 'p'],
    ['сςҫɔ', 'c'],
    ['уүυγ', 'y'],
    ['хχ', 'x'],
    ['іӏιɩł\u01C0l1ı', 'i'],
    ['ј', 'j'],
    ['ѕ5', 's'],
    ['һнħհ', 'h'],
    ['ԁđ', 'd'],
    ['ԛ', 'q'],
    ['ԝѡω', 'w'],
    ['кκĸ', 'k'],
    ['м', 'm'],
    ['тτŧ', 't'],
    ['вƀ', 'b'],
    ['пո', 'n'],
    ['г', 'r'],
    ['ѵνʋ', 'v'],
    ['սʊ', 'u'],
  ].flatMap(([alike = '', letter = '']) => [...alike].map((each): [string, string] => [each, letter])),
);

/** The key of a name. Names that look alike have the same key. Marks, spaces and signs are left out. */
export function nameKey(name: string): string {
  const letters = name
    .normalize('NFKD')
    .toLowerCase()
    .normalize('NFKD')
    .replace(/[^\p{L}\p{N}]/gu, '');
  return [...letters]
    .map((letter) => lookAlikes.get(letter) ?? letter)
    .join('')
    .replaceAll('rn', 'm')
    .replaceAll('vv', 'w');
}
