/** The inverse that every OPAQUE answer stands on, for both primes of P-256. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { invert, toBigInt } from '../../src/opaque/modular.ts';

const p = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const random = (count: number) => toBigInt(createHash('sha256').update(`number ${count}`).digest());

/** Neighbours of powers of two, of fractions of the modulus and of its ends: quotients that are large, or all 1. */
const edges = (modulus: bigint) => [
  ...Array.from({ length: 255 }, (_, bit) => [2n ** BigInt(bit), 2n ** BigInt(bit) + 1n]).flat(),
  ...[2n, 3n, 5n, 7n, 1000n, 2n ** 26n, 2n ** 52n, 2n ** 53n].flatMap((part) => [
    modulus / part,
    modulus / part + 1n,
    modulus - modulus / part,
  ]),
  (modulus * 618_033_988_749_894n) / 1_000_000_000_000_000n,
  modulus - 1n,
];

test.each([
  ['the field', p],
  ['the order', n],
])('a number times its inverse is 1 modulo the prime of %s', (_, modulus) => {
  const numbers = [...edges(modulus), ...Array.from({ length: 5000 }, (_, count) => random(count) % modulus)];
  const wrong = numbers.filter((number) => (number * invert(number, modulus)) % modulus !== 1n);
  expect(wrong).toEqual([]);
  const out = numbers.filter((number) => invert(number, modulus) >= modulus);
  expect(out).toEqual([]);
  expect(invert(0n, modulus)).toBe(0n);
});
