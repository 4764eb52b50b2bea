/**
 * What an app that registered itself may be called: nothing that misleads about who it is. A name that looks like one of
 * this site, or like an app of the operator's, is refused; letters are compared as they look. Pure.
 */

/** What is wrong with the name of an app that the operator has not registered, as the end of a sentence; undefined where nothing is. */
export function nameFault(name: string, own: readonly string[]): string | undefined {
  if (/[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|\p{M}{3}/u.test(name))
    return 'must hold no control, invisible or direction characters';
  if (name.trim() !== name || name === '') return 'must not begin or end with a space';
  // As people read it: full-width, mathematical and superscript letters are the letters that they show.
  const read = name.normalize('NFKC');
  if ([...name].some(isEnclosedLetter)) return 'must not hold letters that are drawn as symbols';
  if (strangeLetter.test(read)) return 'must use letters of a script in wide use';
  if (alphabets.filter((letters) => letters.test(read)).length > 1 || mixedWord.test(read))
    return 'must not mix alphabets';
  // A host may stand beside it: none may stand within it.
  if (address.test(read)) return 'must not hold an address';
  const key = nameKey(name);
  if (key === '') return 'must hold a letter or a digit';
  if (own.some((reserved) => key.includes(nameKey(reserved)))) return 'must not look like one of this site';
  return undefined;
}

/** Letters in squares and circles, flags among them: most have no decomposition, so that no key knows them. */
const isEnclosedLetter = (character: string): boolean =>
  /[\u2460-\u24FF\u{1F100}-\u{1F1FF}]/u.test(character) ||
  (/\p{So}/u.test(character) && /\p{L}/u.test(character.normalize('NFKD')));

/** The scripts in wide modern use (UAX #31, table 5); others hold whole alphabets of letters that look like Latin ones. */
const scripts =
  `Common Inherited Arabic Armenian Bengali Bopomofo Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Han Hangul
  Hebrew Hiragana Kannada Katakana Khmer Lao Latin Malayalam Myanmar Oriya Sinhala Tamil Telugu Thaana Thai Tibetan`
    .split(/\s+/)
    .map((script) => `\\p{Script=${script}}`)
    .join('');

/** Of Latin, the letters that languages are written with: phonetic small capitals and medieval letters are left out. */
const latin = 'A-Za-z\\xAA\\xBA\\xC0-\\u024F\\u1E00-\\u1EFFɓɔɖɗəɛɣɨɩɲʉʊʋʒ';
const strangeLetter = new RegExp(`[^${scripts}]|(?![${latin}])\\p{Script=Latin}`, 'u');

/** Alphabets with letters that look like those of another one here. */
const alphabets = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u, /\p{Script=Armenian}/u];

/** A word that has a Latin letter, and a letter or digit of a script that does not stand within one word with Latin. */
const mixedWord = (() => {
  const besideLatin =
    '0-9\\p{Lm}\\p{Script=Latin}\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}\\p{Script=Bopomofo}';
  const [within, foreign] = ['[\\p{L}\\p{M}\\p{Nd}]*', `(?![${besideLatin}])[\\p{L}\\p{Nd}]`];
  return new RegExp(`\\p{Script=Latin}${within}${foreign}|${foreign}${within}\\p{Script=Latin}`, 'u');
})();

/**
 * Something like `bank.com`. A dot may have spaces around it; what looks like a dot separates words too (`Notes · Acme`), and
 * has a space on one side at most. In Japanese names the katakana dot stands between words.
 */
const dotAlike = '[\\xB7\\u0660\\u06D4\\u06F0\\u0701\\u0702\\u2022\\u2027\\u2219\\u22C5\\u2E31\\u2E33]';
const address = new RegExp(
  `[\\p{L}\\p{N}](?:\\s*[.\\u3002]\\s*|\\s*${dotAlike}|${dotAlike}\\s*|\\u30FB(?=[A-Za-z]))\\p{L}{2}`,
  'u',
);
/** Letters and digits, and what they are taken for at a glance. */
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

/** Names with the same key look alike: by letters without marks, spaces and signs. */
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
