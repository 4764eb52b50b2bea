/**
 * Recovery codes. They are derived from the proof or sign-in step that makes them and kept nowhere, so that its holder can be shown
 * them again. Only their keyed hashes are stored. Each code works once.
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
  /** What the codes are derived with. */
  codesKey: Uint8Array;
  /** What their hashes are keyed with. */
  hashKey: Uint8Array;
  now: () => number;
}

export function createRecoveryCodes({ codesKey, hashKey, now }: RecoveryCodesDeps) {
  const hashOf = (accountId: string, code: string) => keyedHash(hashKey, accountId, code);

  function derive(accountId: string, madeBy: string): { codes: string[]; hashes: Buffer[] } {
    const codes = Array.from({ length: codesOfAccount }, (_, index) =>
      recoveryCodeFrom(keyedHash(codesKey, accountId, madeBy, String(index))),
    );
    return { codes, hashes: codes.map((code) => hashOf(accountId, parseCode(code).text)) };
  }

  return {
    /** Replaces the account's codes by those of `madeBy`, and returns them. */
    async renew(query: Query, accountId: string, madeBy: string): Promise<string[]> {
      const { codes, hashes } = derive(accountId, madeBy);
      await store.replaceRecoveryCodes(query, accountId, hashes);
      return codes;
    },
    /** The codes of `madeBy`, or undefined if the account has others now or one of them was used. */
    async made(query: Query, accountId: string, madeBy: string): Promise<string[] | undefined> {
      const { codes, hashes } = derive(accountId, madeBy);
      return (await store.hasUnusedRecoveryCodes(query, accountId, hashes)) ? codes : undefined;
    },
    /** Uses the code up. False if it is wrong or was used before. */
    use: (query: Query, accountId: string, { text }: TypedCode): Promise<boolean> =>
      store.useRecoveryCode(query, accountId, hashOf(accountId, text), now()),
  };
}

/** 12 letters of 31, 59 bits of the 256 of a hash, in three groups that can be read aloud. */
function recoveryCodeFrom(hash: Buffer): string {
  const letters = alphabet.length;
  const number = BigInt(`0x${hash.toString('hex')}`) % BigInt(letters) ** BigInt(recoveryCodeLength);
  const digits = number.toString(letters).padStart(recoveryCodeLength, '0');
  return [...digits]
    .map((digit) => alphabet[Number.parseInt(digit, letters)])
    .join('')
    .replace(/(.{4})(?!$)/g, '$1-');
}
