/** Which spellings are one name, over all of Unicode, and what is no name. */
import { describe, expect, test } from 'vitest';
import { parseUsername } from '../../src/accounts/username.ts';

const keyOf = (value: string): string | undefined => {
  try {
    return parseUsername(value).key;
  } catch {
    return undefined;
  }
};

describe('one name, however it is spelt', () => {
  test.each([
    ['case', ['ada', 'ADA', 'Ada', ' ada ']],
    ['composed and decomposed', ['jürgen', 'ju\u0308rgen', 'JÜRGEN', 'JU\u0308RGEN']],
    ['sharp s', ['straße', 'strasse', 'STRASSE', 'STRAẞE', 'straſſe', 'Straſse']],
    ['final sigma', ['οδος', 'οδοσ', 'ΟΔΟΣ']],
    ['full width', ['ａｄａ', 'ADA', 'Ａｄａ']],
    ['ligatures', ['ﬁsch', 'fisch', 'FISCH']],
    ['Kelvin, Ångström', ['\u212Aå', 'kå', 'K\u212B', 'ka\u030A']],
    ['titlecase digraphs', ['ǆ', 'Ǆ', 'ǅ', 'dž']],
    ['dotless i', ['ı', 'i', 'I']],
    ['iota below', ['ᾳ', 'ᾼ', 'αι', 'ΑΙ']],
  ])('%s', (_name, spellings) => {
    expect(new Set(spellings.map(keyOf)).size).toBe(1);
    expect(keyOf(spellings[0] ?? '')).toBeDefined();
  });

  test('different names stay different', () => {
    const names = ['ada', 'ädä', 'a.da', 'a_da', 'ada1', 'ada@example.org', 'адa', 'ada\u0323'];
    expect(new Set(names.map(keyOf)).size).toBe(names.length);
  });

  test('what is shown keeps the case', () => {
    expect(parseUsername(' Jörg.Straße ')).toEqual({ shown: 'Jörg.Straße', key: 'jörg.strasse' });
  });
});

test('for every character: upper, lower, decomposed and folded spellings have one key', () => {
  const changes = /[\p{Changes_When_Casemapped}\p{Changes_When_NFKC_Casefolded}]/u;
  const apart: string[] = [];
  for (let point = 0; point < 0x110000; point++) {
    const character = String.fromCodePoint(point);
    if (!changes.test(character)) continue;
    const name = `a${character}b`;
    const key = keyOf(name);
    if (key === undefined) continue;
    const spellings = [
      name.toUpperCase(),
      name.toLowerCase(),
      name.normalize('NFD'),
      name.normalize('NFKD'),
      key,
    ];
    if (spellings.some((spelling) => keyOf(spelling) !== key)) apart.push(point.toString(16));
  }
  expect(apart).toEqual([]);
});

test.each([
  ['empty', ''],
  ['spaces alone', '   '],
  ['a space within', 'ada lovelace'],
  ['a line break', 'ada\n'.concat('x')],
  ['NUL', 'ada\u0000'],
  ['zero-width joiner', 'a\u200Dda'],
  ['soft hyphen', 'a\u00ADda'],
  ['variation selector', 'ada\uFE0F'],
  ['combining grapheme joiner', 'a\u034Fda'],
  ['Hangul filler', 'ada\u3164'],
  ['right-to-left override', '\u202Eada'],
  ['half a surrogate pair', 'ada\uD800'],
  ['a slash', 'a/b'],
  ['markup', '<b>'],
  ['an emoji', '😀'],
  ['65 characters', 'a'.repeat(65)],
  ['64 characters that fold to 128', 'ß'.repeat(64)],
  ['one character that decomposes to words', '\uFDFA'],
])('no name: %s', (_name, value) => {
  expect(() => parseUsername(value)).toThrow(
    expect.objectContaining({ code: 'invalid_request', status: 400 }),
  );
});

test('64 characters are counted as a person counts them', () => {
  expect(keyOf('a'.repeat(64))).toBeDefined();
  expect(keyOf('𝒶'.repeat(64))).toBe('a'.repeat(64));
});
