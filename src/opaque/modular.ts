/**
 * Arithmetic of BigInts modulo a prime. It is not constant time, so use it for public or blinded numbers only. Only
 * `toBigInt` and `toHex` may see secrets.
 */
import { randomBytes } from '../lib/crypto.ts';

/** The remainder in [0, modulus), also for a negative number. */
export function modulo(number: bigint, modulus: bigint): bigint {
  const rest = number % modulus;
  return rest < 0n ? rest + modulus : rest;
}

/** A random number in [1, modulus). It has a bias of 2^-32, which does not matter for a blinding factor. */
export function randomBelow(modulus: bigint): bigint {
  return (toBigInt(randomBytes(32)) % (modulus - 1n)) + 1n;
}

/** The inverse of a number in [0, modulus), by Euclid's algorithm. The inverse of 0 is 0 here. */
export function invert(number: bigint, modulus: bigint): bigint {
  let [r0, r1, t0, t1] = [modulus, number, 0n, 1n];
  while (r1 !== 0n) {
    const quotient = r0 / r1;
    [r0, r1, t0, t1] = [r1, r0 - quotient * r1, t1, t0 - quotient * t1];
  }
  return modulo(t0, modulus);
}

/** The big-endian number of these bytes. */
export function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}`);
}

/** The number as 32 bytes in hex. */
export function toHex(number: bigint): string {
  return number.toString(16).padStart(64, '0');
}
