/** How a recovery code is written, and how it may be typed. Pure. */

const alphabet = 'abcdefghjkmnpqrstuvwxyz23456789';
export const recoveryCodeLength = 12;

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

/** Without what a person adds to read or type it. */
export const normalizeRecoveryCode = (code: string): string => code.toLowerCase().replace(/[\s-]/g, '');
