// Our own v4.local and BLAKE2b against the `paseto` package and noble: thousands of random keys, messages and lengths.

import { hash, randomBytes, randomInt } from 'node:crypto';
import { blake2b as nobleBlake2b } from '@noble/hashes/blake2.js';
import Blake2b from 'blake2b-wasm';
import { expect, test } from 'vitest';
import { blake2b } from '../../src/tokens/blake2b.ts';
import { createV4Local, createV4LocalKey } from '../../src/tokens/v4_local.ts';
import { oracleKey, v4LocalOracle } from './v4_local_oracle.ts';

test('BLAKE2b is noble’s, for keys, hashes and messages of any length, in pieces', () => {
  for (let turn = 0; turn < 3000; turn += 1) {
    const key = randomBytes(turn % 50 === 0 ? 0 : 15 + (turn % 50));
    const [length, message] = [16 + randomInt(49), randomBytes(turn % 700)];
    const cut = randomInt(message.length + 1);
    const expected = nobleBlake2b(message, { ...(key.length > 0 && { key }), dkLen: length });
    const ours = blake2b(key, length, message.subarray(0, cut), message.subarray(cut));
    expect(Buffer.compare(ours, expected), `${key.length} ${length} ${message.length}`).toBe(0);
  }
  // More than the package's memory has at first.
  const longest = randomBytes(1_000_000);
  expect(blake2b(longest.subarray(0, 64), 64, longest)).toEqual(
    nobleBlake2b(longest, { key: longest.subarray(0, 64), dkLen: 64 }),
  );
});

test('BLAKE2b without a key is OpenSSL’s', () => {
  for (const text of ['', 'abc', 'x'.repeat(128), 'x'.repeat(129)])
    expect(Buffer.from(blake2b(new Uint8Array(), 64, Buffer.from(text))).toString('hex')).toBe(
      hash('blake2b512', text),
    );
});

test('BLAKE2b refuses lengths that it cannot do, and works on after that', () => {
  const before = blake2b(new Uint8Array(16), 32, Buffer.from('x'));
  for (const call of [
    () => blake2b(new Uint8Array(15), 32),
    () => blake2b(new Uint8Array(65), 32),
    () => blake2b(new Uint8Array(), 15),
    () => blake2b(new Uint8Array(), 65),
  ])
    expect(call).toThrow();
  expect(blake2b(new Uint8Array(16), 32, Buffer.from('x'))).toEqual(before);
});

test.each([20, 100, 128, 1000])(
  'of a hash of %i bytes neither the key nor the result stays in the shared memory',
  (bytes) => {
    const { _memory: memory } = new Blake2b(32) as unknown as { _memory: Uint8Array };
    const key = randomBytes(32);
    const result = Buffer.from(blake2b(key, 32, randomBytes(bytes)));
    const whole = Buffer.from(memory.buffer);
    for (const secret of [key, result]) {
      expect(whole.includes(secret.subarray(0, 12))).toBe(false);
      expect(whole.includes(secret.subarray(-12))).toBe(false);
    }
  },
);

test('what we seal the package opens, and the other way round', async () => {
  for (let turn = 0; turn < 500; turn += 1) {
    const bytes = randomBytes(32);
    const [footer, implicitAssertion] = [randomBytes(turn % 90), randomBytes(turn % 70)];
    const claims = { sub: randomBytes(turn).toString('latin1'), exp: '2999-01-01T00:00:00Z' };
    const codec = createV4Local(createV4LocalKey(bytes), footer, implicitAssertion);
    const options = { footer, implicitAssertion };
    for (const seal of [codec.seal, codec.sealRepeatable]) {
      const token = seal(Buffer.from(JSON.stringify(claims)));
      expect((await v4LocalOracle.Decrypt(oracleKey(bytes), token, options)).claims).toEqual(claims);
      expect(JSON.parse(String(codec.open(token)))).toEqual(claims);
    }
    const theirs = await v4LocalOracle.Encrypt(oracleKey(bytes), claims, { ...options, addIssuedAt: false });
    expect(JSON.parse(String(codec.open(theirs)))).toEqual(claims);
  }
});

test('a repeatable token is the same text for the same message, footer and assertion alone', () => {
  const of = (message: string, footer: string, implicit: string) =>
    createV4Local(createV4LocalKey(new Uint8Array(32)), Buffer.from(footer), Buffer.from(implicit))
      .sealRepeatable(Buffer.from(message))
      .slice(0, 'v4.local.'.length + 43);
  expect(of('a', 'b', 'c')).toBe(of('a', 'b', 'c'));
  // The nonce, which is the first 32 bytes, differs wherever anything does.
  const nonces = [
    of('a', 'b', 'c'),
    of('x', 'b', 'c'),
    of('a', 'x', 'c'),
    of('a', 'b', 'x'),
    of('ab', '', 'c'),
  ];
  expect(new Set(nonces).size).toBe(nonces.length);
});

test('no bit of a token can be turned, nor any of it left out', () => {
  const { seal, open } = createV4Local(
    createV4LocalKey(randomBytes(32)),
    Buffer.from('footer'),
    Buffer.from('implicit'),
  );
  const [version = '', purpose = '', payload = '', footer = ''] = seal(Buffer.from('a message')).split('.');
  const bytes = Buffer.from(payload, 'base64url');
  const texts = (changed: Uint8Array) =>
    [version, purpose, Buffer.from(changed).toString('base64url'), footer].join('.');
  expect(open(texts(bytes))?.toString()).toBe('a message');
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const turned = Uint8Array.from(bytes);
    turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(open(texts(turned)), `bit ${bit}`).toBeUndefined();
  }
  for (let length = 0; length < bytes.length; length += 1)
    expect(open(texts(bytes.subarray(0, length))), `${length} bytes`).toBeUndefined();
});
