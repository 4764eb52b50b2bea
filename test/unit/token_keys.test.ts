// The keys behind the tokens: rotation, what is published, what may be shown, and what keeps the server from
// starting.

import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { createKeyset, type RawKey, type TokenKind } from '../../src/tokens/keys.ts';
import { deserializeKey, serializeKey } from '../../src/tokens/paserk.ts';
import { createTokens } from '../../src/tokens/tokens.ts';
import {
  bytesOf,
  CLAIMS,
  EXPIRES,
  ISSUER,
  KINDS,
  NOW,
  ownKeys,
  rawKeys,
  sealEach,
  tokensWith,
} from './tokens_support.ts';

const tokens = tokensWith();
const sealed = await sealEach();
const now = () => NOW * 1000;

describe('keys', () => {
  const followed = ownKeys.map((raw): RawKey => ({ ...raw, state: 'verifying' }));
  const following = rawKeys((kind) => KINDS.indexOf(kind) + 11);

  test.each(KINDS)('a followed %s key opens what it made, and makes nothing new', async (kind) => {
    const rotated = tokensWith({ keys: [...followed, ...following] });
    expect(await rotated.open(kind, sealed[kind])).toBeDefined();
    const token = await rotated.seal(kind, CLAIMS, { expiresAt: EXPIRES });
    expect(await rotated.open(kind, token)).toBeDefined();
    expect(await tokens.open(kind, token)).toBeUndefined();
    expect(await tokensWith({ keys: following }).open(kind, sealed[kind]), 'dropped').toBeUndefined();
  });

  test.each(KINDS)(
    'a %s key that was made elsewhere a moment ago is looked for once, rubbish is not',
    async (kind) => {
      const keys = createKeyset([...followed, ...following]);
      const made = await createTokens({ issuer: ISSUER, keyset: keys, now }).seal(kind, CLAIMS, {
        expiresAt: EXPIRES,
      });
      let looks = 0;
      const behind = createTokens({
        issuer: ISSUER,
        keyset: createKeyset(ownKeys),
        async lookForKeys() {
          looks += 1;
          if (looks === 2) behind.useKeys(keys);
        },
        now,
      });
      expect(await behind.open(kind, made.slice(0, made.lastIndexOf('.')))).toBeUndefined();
      expect(await behind.open(kind, `${made}AA`)).toBeUndefined();
      expect(looks).toBe(0);
      expect(await behind.open(kind, made)).toBeUndefined();
      expect(looks).toBe(1);
      expect(await behind.open(kind, made)).toBeDefined();
      expect(await behind.open(kind, sealed[kind]), 'of a key that verifies').toBeDefined();
      expect(looks).toBe(2);
      behind.useKeys(createKeyset(following));
      expect(await behind.open(kind, sealed[kind]), 'dropped').toBeUndefined();
    },
  );

  test('a next key opens, and is published, before it makes anything', async () => {
    const next = following.map((raw): RawKey => ({ ...raw, state: 'next', notBefore: NOW * 1000 + 1 }));
    const rotating = tokensWith({ keys: [...ownKeys, ...next] });
    const elsewhere = tokensWith({ keys: [...followed, ...following] });
    for (const kind of KINDS) {
      const token = await elsewhere.seal(kind, CLAIMS, { expiresAt: EXPIRES });
      expect(await rotating.open(kind, token)).toBeDefined();
      expect(
        await tokens.open(kind, await rotating.seal(kind, CLAIMS, { expiresAt: EXPIRES })),
      ).toBeDefined();
    }
    expect(rotating.publicKeys()).toMatchObject([
      { state: 'signing' },
      { state: 'next', not_before: '2027-01-15T08:00:00Z' },
    ]);
  });

  test('only the public halves of the public keys are published, each with the id its tokens carry', async () => {
    const published = tokensWith({ keys: [...followed, ...following] }).publicKeys();
    expect(published.map(({ state }) => state)).toEqual(['verifying', 'signing']);
    const [old] = published;
    expect(Buffer.from(sealed.public.split('.')[3] ?? '', 'base64url').toString()).toBe(
      `{"kid":"${old?.kid}"}`,
    );
    const seedOfOld = Buffer.from(bytesOf(5)).toString('base64url');
    expect(old?.paserk).toMatch(/^k4\.public\.[\w-]{43}$/);
    expect(JSON.stringify(published)).not.toContain(seedOfOld);
  });

  test('their bytes do not show when a keyset is printed', () => {
    const canary = new Uint8Array(Buffer.from('canary-canary-canary-canary-cana'));
    const keyset = createKeyset(KINDS.map((kind) => ({ kind, bytes: canary, state: 'signing' })));
    const printed = (inspect(keyset, { depth: 20, showHidden: true }) + JSON.stringify(keyset)).replace(
      /\s+/g,
      ' ',
    );
    for (const form of [
      'canary',
      Buffer.from('canary').toString('hex'),
      '99, 97, 110',
      '63 61 6e',
      '"0":99',
    ]) {
      expect(printed).not.toContain(form);
    }
  });

  const faults: [string, (kind: TokenKind) => RawKey[]][] = [
    ['is missing', (kind) => ownKeys.filter((raw) => raw.kind !== kind)],
    [
      'only verifies',
      (kind) => ownKeys.map((raw) => (raw.kind === kind ? { ...raw, state: 'verifying' } : raw)),
    ],
    ['is one of two that sign', (kind) => [...ownKeys, { kind, bytes: bytesOf(50), state: 'signing' }]],
    ['is there twice', (kind) => [...ownKeys, ...ownKeys.filter((raw) => raw.kind === kind).map(verifying)]],
    ['is empty', (kind) => withBytes(kind, 0)],
    ['is short', (kind) => withBytes(kind, 31)],
    ['is long', (kind) => withBytes(kind, 33)],
    ['is a whole Ed25519 secret', (kind) => withBytes(kind, 64)],
    ['is in an unknown state', (kind) => [...ownKeys, { kind, bytes: bytesOf(50), state: 'x' as 'signing' }]],
  ];
  const verifying = (raw: RawKey): RawKey => ({ ...raw, state: 'verifying' });
  const withBytes = (kind: TokenKind, length: number) =>
    ownKeys.map((raw) => (raw.kind === kind ? { ...raw, bytes: new Uint8Array(length) } : raw));

  test.each(faults)('no keyset if a key %s', (_name, keysOf) => {
    for (const kind of KINDS) expect(() => createKeyset(keysOf(kind)), kind).toThrow(`token kind ${kind}: `);
  });

  test('no keyset if a key is of no known kind', () => {
    const stray: RawKey = { kind: 'id' as TokenKind, bytes: bytesOf(1), state: 'verifying' };
    expect(() => createKeyset([...ownKeys, stray])).toThrow('token kind id: ');
  });
});

test('a PASERK in any form but its one is refused', () => {
  const bytes = bytesOf(1);
  const text = serializeKey('local', bytes);
  expect(deserializeKey('local', text)).toEqual(bytes);
  for (const twin of [
    `${text}=`,
    ` ${text}`,
    `${text} `,
    `${text.slice(0, -1)}F`,
    text.replace('local', 'public'),
  ]) {
    expect(() => deserializeKey('local', twin), twin).toThrow();
  }
});

test('a k4.secret whose halves are not of one pair has no PASERK', () => {
  expect(() => serializeKey('secret', new Uint8Array(64))).toThrow('must end in its public key');
});
