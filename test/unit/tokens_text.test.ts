// What a stranger may send in place of a token: footers, encodings, sizes and rubbish.

import { afterEach, describe, expect, test, vi } from 'vitest';
import { keyId } from '../../src/tokens/paserk.ts';
import { anyKindOpens, bytesOf, EXPIRES, KINDS, sealEach, tokensWith } from './tokens_support.ts';

const tokens = tokensWith();
const sealed = await sealEach();

afterEach(() => void vi.restoreAllMocks());

describe('a footer', () => {
  const withFooter = (footer: string) => `${sealed.access.slice(0, sealed.access.lastIndexOf('.'))}${footer}`;
  const encoded = (text: string) => `.${Buffer.from(text).toString('base64url')}`;
  const kid = keyId('local', bytesOf(3));
  const unknown = keyId('local', bytesOf(99));
  const cases: [string, () => string][] = [
    ['missing', () => ''],
    ['empty', () => '.'],
    ['of an unknown key', () => encoded(JSON.stringify({ kid: unknown }))],
    ['of another kind', () => `.${sealed.refresh.split('.')[3]}`],
    ['of a megabyte', () => encoded(JSON.stringify({ kid, pad: 'x'.repeat(1_000_000) }))],
    ['of deep JSON', () => encoded('['.repeat(100_000))],
    ['with a space', () => encoded(`{"kid": "${kid}"}`)],
    ['with a second kid', () => encoded(`{"kid":"${kid}","kid":"${unknown}"}`)],
    ['with a kid that is code', () => encoded(`{"kid":"${kid}' OR 1=1 --"}`)],
    ['with a kid that is a path', () => encoded('{"kid":"../../../../dev/null"}')],
    ['that is an inherited property', () => '.__proto__'],
    ['that is padded', () => `.${sealed.access.split('.')[3]}=`],
  ];

  // Decoding goes through Buffer.from and parsing through JSON.parse: neither may see a token that no key of ours made.
  test.each(cases)('%s is refused before anything is decoded or parsed', async (_name, footer) => {
    const token = withFooter(footer());
    const decode = vi.spyOn(Buffer, 'from');
    const parse = vi.spyOn(JSON, 'parse');
    expect(await tokens.open('access', token)).toBeUndefined();
    expect([decode.mock.calls.length, parse.mock.calls.length]).toEqual([0, 0]);
    expect(await tokens.open('access', sealed.access)).toBeDefined();
    expect([decode.mock.calls.length, parse.mock.calls.length], 'the spies see').toEqual([1, 1]);
  });

  test('of our own does not let a megabyte of payload be decoded', async () => {
    const decode = vi.spyOn(Buffer, 'from');
    const token = `v4.local.${'A'.repeat(1_000_000)}.${sealed.access.split('.')[3]}`;
    expect(await tokens.open('access', token)).toBeUndefined();
    expect(decode).not.toHaveBeenCalled();
  });
});

describe('base64url', () => {
  // The payload's last character has spare bits unless the byte count is a multiple of three.
  async function payloadOfLength(remainder: number): Promise<string[]> {
    for (let pad = 0; pad < 3; pad += 1) {
      const token = await tokens.seal('access', { pad: 'x'.repeat(pad) }, { expiresAt: EXPIRES });
      const parts = token.split('.');
      if ((parts[2] ?? '').length % 4 === remainder) return parts;
    }
    throw new Error('no payload of that length');
  }

  test.each([2, 3])('with spare bits set is refused (length %i mod 4)', async (remainder) => {
    const parts = await payloadOfLength(remainder);
    const payload = parts[2] ?? '';
    expect(await tokens.open('access', parts.join('.'))).toBeDefined();
    const bytes = Buffer.from(payload, 'base64url');
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const twins = [...alphabet]
      .map((last) => payload.slice(0, -1) + last)
      .filter((twin) => twin !== payload && Buffer.from(twin, 'base64url').equals(bytes));
    expect(twins).toHaveLength(remainder === 2 ? 15 : 3);
    for (const twin of twins)
      expect(await tokens.open('access', parts.with(2, twin).join('.'))).toBeUndefined();
    const padding = '='.repeat(4 - remainder);
    expect(await tokens.open('access', parts.with(2, payload + padding).join('.'))).toBeUndefined();
  });
});

test('rubbish is refused without an exception', async () => {
  const headers = [
    '',
    'v4',
    'v4.',
    'v4.local',
    'v4.local.',
    'v4.local..',
    'v4.public...',
    '....',
    'null',
    '{}',
  ];
  const footers = KINDS.map((kind) => sealed[kind].split('.')[3]);
  const short = footers.flatMap((footer) =>
    ['', 'A', 'AA', 'A'.repeat(85), 'A'.repeat(86), '\ud800', '%00'].flatMap((payload) => [
      `v4.local.${payload}.${footer}`,
      `v4.public.${payload}.${footer}`,
    ]),
  );
  for (const text of [...headers, ...short]) expect(await anyKindOpens(text), text).toBe(false);
  for (const value of [undefined, null, 1, {}, [sealed.access], Buffer.from(sealed.access)]) {
    expect(await anyKindOpens(value as unknown as string)).toBe(false);
  }
});

test('no token is made that would be too long to open', async () => {
  const seal = (length: number) => tokens.seal('access', { pad: 'x'.repeat(length) }, { expiresAt: EXPIRES });
  expect(await tokens.open('access', await seal(5800))).toBeDefined();
  await expect(seal(6000)).rejects.toThrow(RangeError);
});
