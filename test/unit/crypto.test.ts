/** The two functions of lib/crypto.ts that replace those of node:crypto for speed. */
import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { keyedHash, randomBytes } from '../../src/lib/crypto.ts';

test('a keyed hash is the HMAC that node:crypto makes, for every length of key and text, also the second time', () => {
  for (const length of [0, 1, 31, 32, 63, 64]) {
    const key = Buffer.from(Array.from({ length }, (_, index) => (index * 37 + 11) % 256));
    for (const text of ['', 'ada', 'Ünicode \u{1f600}', 'x'.repeat(55), 'x'.repeat(64), 'x'.repeat(10_000)]) {
      const expected = createHmac('sha256', key)
        .update(JSON.stringify([text, 'b']))
        .digest('hex');
      for (const _ of [1, 2]) expect(keyedHash(key, text, 'b').toString('hex')).toBe(expected);
    }
  }
  expect(() => keyedHash(Buffer.alloc(65), 'a')).toThrow(RangeError);
});

test('what is hashed together is not joined: other parts with the same letters give another hash', () => {
  const key = Buffer.alloc(32, 7);
  expect(keyedHash(key, 'a', 'b')).not.toEqual(keyedHash(key, 'ab'));
});

test('random bytes come in the asked length, never twice, and stay as they were given', () => {
  const given = Array.from({ length: 5000 }, (_, index) => randomBytes(16 + (index % 33)));
  for (const [index, bytes] of given.entries()) expect(bytes).toHaveLength(16 + (index % 33));
  const heads = new Set(given.map((bytes) => bytes.subarray(0, 16).toString('hex')));
  expect(heads.size).toBe(given.length);
  expect(heads).not.toContain('00'.repeat(16));
  // Each value of a byte comes 64 times in 16,384: bytes that were never filled would show.
  const counts = new Array<number>(256).fill(0);
  for (const byte of [4096, 4096, 4096, 4096].flatMap((count) => [...randomBytes(count)]))
    counts[byte] = (counts[byte] ?? 0) + 1;
  expect(Math.min(...counts)).toBeGreaterThan(10);
  expect(Math.max(...counts)).toBeLessThan(200);
  expect(() => randomBytes(4097)).toThrow(RangeError);
});
