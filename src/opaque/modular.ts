/**
 * Arithmetic of BigInts modulo a prime. None of it takes the same time for all numbers: beside the conversions it is for
 * public or blinded ones.
 */
import { randomBytes } from 'node:crypto';

export function modulo(number: bigint, modulus: bigint): bigint {
  const rest = number % modulus;
  return rest < 0n ? rest + modulus : rest;
}

/** In [1, modulus), a bias of 2^-32 being nothing to a blinding factor. */
export function randomBelow(modulus: bigint): bigint {
  return (toBigInt(randomBytes(32)) % (modulus - 1n)) + 1n;
}

/**
 * The inverse of a number in [0, modulus); of 0 it is 0. Euclid's algorithm as D. H. Lehmer has it (Knuth, The Art of
 * Computer Programming, volume 2, 4.5.2, algorithm L): some 25 bits of quotients at a time are found in doubles, from the
 * leading 50 bits or so of both numbers, and applied to the long ones at once.
 */
export function invert(number: bigint, modulus: bigint): bigint {
  let [r0, r1, t0, t1] = [modulus, number, 0n, 1n];
  while (r1 !== 0n) {
    const [a, b, c, d] = leadingSteps(r0, r1);
    if (b === 0n) {
      const quotient = r0 / r1;
      [r0, r1, t0, t1] = [r1, r0 - quotient * r1, t1, t0 - quotient * t1];
    } else {
      [r0, r1, t0, t1] = [a * r0 + b * r1, c * r0 + d * r1, a * t0 + b * t1, c * t0 + d * t1];
    }
  }
  return modulo(t0, modulus);
}

/** What the steps that the leading bits of r0 >= r1 are sure of come to: (r0, r1) becomes (a r0 + b r1, c r0 + d r1); b = 0 for none. */
function leadingSteps(r0: bigint, r1: bigint): [a: bigint, b: bigint, c: bigint, d: bigint] {
  const shift = BigInt(Math.max(0, 4 * r0.toString(16).length - 52));
  let [x, y] = [Number(r0 >> shift), Number(r1 >> shift)];
  let [a, b, c, d] = [1, 0, 0, 1];
  while (y + c !== 0 && y + d !== 0) {
    const quotient = Math.floor((x + a) / (y + c));
    if (quotient !== Math.floor((x + b) / (y + d))) break;
    [a, b, c, d, x, y] = [c, d, a - quotient * c, b - quotient * d, y, x - quotient * y];
  }
  return [BigInt(a), BigInt(b), BigInt(c), BigInt(d)];
}

export function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}`);
}

/** 32 bytes in hex. */
export function toHex(number: bigint): string {
  return number.toString(16).padStart(64, '0');
}
