/**
 * What an app that registered itself may be called: nothing that misleads about who it is. A name that looks like one of
 * this site, or like an app of the operator's, is refused; letters are compared as they look. Pure.
 */

/** What is wrong with the name of an app that the operator has not registered, as the end of a sentence; undefined where nothing is. */
export function nameFault(name: string, own: readonly string[]): string | undefined {
  if (/[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|\p{M}{3}/u.test(name))
    return 'must hold no control, invisible or direction characters';
  if (name.trim() !== name || name === '') return 'must not begin or end with a space';
  if (alphabets.filter((letters) => letters.test(name)).length > 1) return 'must not mix alphabets';
  // Its host is shown beside it: none may stand within it.
  if (/[\p{L}\p{N}]\s*[.\u3002\uFF0E\uFF61]\s*\p{L}{2}/u.test(name)) return 'must not hold an address';
  const key = nameKey(name);
  if (own.some((reserved) => key.includes(nameKey(reserved)))) return 'must not look like one of this site';
  return undefined;
}

/** Alphabets with letters that look like those of another one here. */
const alphabets = [
  /\p{Script=Latin}/u,
  /\p{Script=Cyrillic}/u,
  /\p{Script=Greek}/u,
  /\p{Script=Armenian}/u,
  /\p{Script=Cherokee}/u,
];

/** Letters and digits, and what they are taken for at a glance. */
const lookAlikes = new Map(
  [
    ['а\u0251α4', 'a'],
    ['еєε3', 'e'],
    ['оοσ0', 'o'],
    ['рρ', 'p'],
    ['сϲ', 'c'],
    ['уυγ', 'y'],
    ['хχ', 'x'],
    ['іιl1ıℓ', 'i'],
    ['ј', 'j'],
    ['ѕ5', 's'],
    ['һн', 'h'],
    ['ԁ', 'd'],
    ['ԛ', 'q'],
    ['ԝω', 'w'],
    ['кκ', 'k'],
    ['м', 'm'],
    ['тτ', 't'],
    ['в', 'b'],
    ['п', 'n'],
    ['г', 'r'],
    ['ѵν', 'v'],
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
