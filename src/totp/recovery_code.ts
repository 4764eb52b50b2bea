/** How a recovery code is written. Pure. */

import { recoveryAlphabet as alphabet, recoveryCodeLength } from '../lib/typed_code.ts';

/** 12 letters of 31, 59 bits of the 256 of a hash, in three groups that can be read aloud. */
export function recoveryCodeFrom(hash: Buffer): string {
  const letters = alphabet.length;
  const number = BigInt(`0x${hash.toString('hex')}`) % BigInt(letters) ** BigInt(recoveryCodeLength);
  const digits = number.toString(letters).padStart(recoveryCodeLength, '0');
  return [...digits]
    .map((digit) => alphabet[Number.parseInt(digit, letters)])
    .join('')
    .replace(/(.{4})(?!$)/g, '$1-');
}
