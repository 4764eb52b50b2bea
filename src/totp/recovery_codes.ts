/**
 * Recovery codes. They are derived from the id of the proof or sign-in step that makes them, so that they can be
 * shown again to its holder. Only their keyed hashes are stored. Each code works once.
 */
import { keyedHash } from '../lib/crypto.ts';
import {
  recoveryAlphabet as alphabet,
  parseCode,
  recoveryCodeLength,
  type TypedCode,
} from '../lib/typed_code.ts';
import type { Query } from '../storage/database.ts';
import * as store from './store.ts';

const codesOfAccount = 10;

export interface RecoveryCodesDeps {
  /** The key that the codes are derived from. */
  codesKey: Uint8Array;
  /** The key of their hashes. */
  hashKey: Uint8Array;
}

export function createRecoveryCodes({ codesKey, hashKey }: RecoveryCodesDeps) {
  const hashOf = (accountId: string, code: string) => keyedHash(hashKey, accountId, code);

  function derive(accountId: string, madeBy: string): { codes: string[]; hashes: Buffer[] } {
    const codes = Array.from({ length: codesOfAccount }, (_, index) =>
      recoveryCodeFrom(keyedHash(codesKey, accountId, madeBy, String(index))),
    );
    return { codes, hashes: codes.map((code) => hashOf(accountId, parseCode(code).text)) };
  }

  return {
    /** Replaces the account's codes by those that are derived from `madeBy`, and returns them. */
    async renew(query: Query, accountId: string, madeBy: string): Promise<string[]> {
      const { codes, hashes } = derive(accountId, madeBy);
      await store.replaceRecoveryCodes(query, accountId, hashes);
      return codes;
    },
    /** The codes of `madeBy`. Undefined if the account has other codes now, or if one of them was used. */
    async made(query: Query, accountId: string, madeBy: string): Promise<string[] | undefined> {
      const { codes, hashes } = derive(accountId, madeBy);
      return (await store.hasUnusedRecoveryCodes(query, accountId, hashes)) ? codes : undefined;
    },
    /** Uses the code up. False if it is wrong or was used before. */
    use: (query: Query, accountId: string, { text }: TypedCode): Promise<boolean> =>
      store.useRecoveryCode(query, accountId, hashOf(accountId, text)),
  };
}

/** 12 letters out of 31 give 59 bits. They are in three groups that can be read aloud. */
function recoveryCodeFrom(hash: Buffer): string {
  const letters = alphabet.length;
  const number = BigInt(`0x${hash.toString('hex')}`) % BigInt(letters) ** BigInt(recoveryCodeLength);
  const digits = number.toString(letters).padStart(recoveryCodeLength, '0');
  return [...digits]
    .map((digit) => alphabet[Number.parseInt(digit, letters)])
    .join('')
    .replace(/(.{4})(?!$)/g, '$1-');
}
