/**
 * The second factor: time-based codes (RFC 6238: SHA-1, 6 digits, 30 s, one step of drift either way) and recovery
 * codes. The secret is sealed at rest; a time step and a recovery code each work once, decided by a conditional UPDATE
 * in store.ts. Called by the interaction's steps and by the account page.
 */
import { generateURI, ScureBase32Plugin, verifySync } from 'otplib';
import { toString as qrToString } from 'qrcode';
import { keyedHash, type Sealer } from '../lib/crypto.ts';
import type { Query } from '../storage/database.ts';
import { normalizeRecoveryCode, recoveryCodeFrom, recoveryCodeLength } from './recovery_code.ts';
import * as store from './store.ts';

export interface TotpSetup {
  /** Base32, as the authenticator takes it. */
  secret: string;
  otpauthUri: string;
}

export type Factor = 'otp' | 'recovery_code';
export type UseCode = (query: Query, code: string) => Promise<Factor | undefined>;

/** By a code of the secret; comes to recovery codes. `madeBy`: see `renewRecoveryCodes`. */
type SetSecret = (
  query: Query,
  account: { id: string },
  secret: string,
  code: string,
  madeBy: string,
) => Promise<string[] | undefined>;

export interface Totp {
  /**
   * The secret that this interaction offers to this account: derived, so nothing is stored before it is confirmed, and
   * another browser that proves the same password is offered another secret.
   */
  setup(interactionUid: string, account: { id: string; username: string }): TotpSetup;
  /** SVG markup of the otpauth URI. */
  qrCode(otpauthUri: string): Promise<string>;
  /**
   * Confirms the secret by a code. Returns ten new recovery codes; undefined where the code is wrong or the account's
   * authenticator was confirmed before, or the account is disabled.
   */
  confirm: SetSecret;
  /**
   * Puts a new secret, confirmed by a code of it, in the place of the present one, and the steps used of that one out of
   * mind. Returns new recovery codes; undefined where the code is wrong or the account has no authenticator or is disabled.
   */
  replace: SetSecret;
  /**
   * What `confirm` or `replace` returned before, for whoever did not receive it and gives a code of the secret again; undefined
   * where the code is wrong or `madeRecoveryCodes` is.
   */
  setBefore: SetSecret;
  /**
   * Makes ten new recovery codes; the old ones are worth nothing from then on. They are derived from `madeBy`, the id of
   * the proof or login step that makes them, so that its holder can be shown them again, and kept nowhere.
   */
  renewRecoveryCodes(query: Query, accountId: string, madeBy: string): Promise<string[]>;
  /** The codes that were made so; undefined where the account has others now, or one of them was used. */
  madeRecoveryCodes(query: Query, accountId: string, madeBy: string): Promise<string[] | undefined>;
  /** How many recovery codes are left. */
  recoveryCodesLeft(query: Query, accountId: string): Promise<number>;
  /**
   * Reads what the account's codes are held against, and returns the function that holds one against it: it uses up a time
   * step or a recovery code, and comes to undefined where the code is wrong or was used before. In two parts, so that a
   * transaction that others wait for is spared the reading.
   */
  against(query: Query, accountId: string): Promise<UseCode>;
}

export interface TotpDeps {
  issuer: string;
  sealer: Sealer;
  setupKey: Uint8Array;
  recoveryKey: Uint8Array;
  /** What recovery codes are derived with; `recoveryKey` is what their hashes are keyed with. */
  recoveryCodesKey: Uint8Array;
  now: () => number;
}

const stepSeconds = 30;
const secretBytes = 20;
const recoveryCodeCount = 10;
const base32 = new ScureBase32Plugin();

export function createTotp(deps: TotpDeps): Totp {
  const { issuer, sealer, setupKey, recoveryKey, recoveryCodesKey, now } = deps;
  const label = new URL(issuer).host;

  /** The step that `code` is right for, later than `afterStep`; undefined where there is none. */
  function matchingStep(secret: string, code: string, afterStep: number | null): number | undefined {
    const epoch = Math.floor(now() / 1000);
    const after = afterStep === null ? {} : { afterTimeStep: afterStep };
    // A clock that was set back must refuse, not fail: otplib throws where the last used step lies in the future.
    if (afterStep !== null && afterStep > Math.floor(epoch / stepSeconds)) return undefined;
    const result = verifySync({ secret, token: code, epoch, epochTolerance: stepSeconds, ...after });
    return result.valid && 'timeStep' in result ? result.timeStep : undefined;
  }

  const unsealed = (accountId: string, { sealed, kekId }: { sealed: Buffer; kekId: string }): string =>
    sealer.unseal(sealed, store.sealedAs(accountId), kekId).toString();

  const recoveryHash = (accountId: string, code: string) => keyedHash(recoveryKey, accountId, code);

  function recoveryCodesOf(accountId: string, madeBy: string): { codes: string[]; hashes: Buffer[] } {
    const codes = Array.from({ length: recoveryCodeCount }, (_, index) =>
      recoveryCodeFrom(keyedHash(recoveryCodesKey, accountId, madeBy, String(index))),
    );
    return { codes, hashes: codes.map((code) => recoveryHash(accountId, normalizeRecoveryCode(code))) };
  }

  async function renewRecoveryCodes(query: Query, accountId: string, madeBy: string): Promise<string[]> {
    const { codes, hashes } = recoveryCodesOf(accountId, madeBy);
    await store.replaceRecoveryCodes(query, accountId, hashes);
    return codes;
  }

  const madeRecoveryCodes: Totp['madeRecoveryCodes'] = async (query, accountId, madeBy) => {
    const { codes, hashes } = recoveryCodesOf(accountId, madeBy);
    return (await store.hasUnusedRecoveryCodes(query, accountId, hashes)) ? codes : undefined;
  };

  /** Sets a secret that its first code confirms, with new recovery codes. */
  const confirmedBy =
    (change: store.SecretChange): SetSecret =>
    async (query, account, secret, code, madeBy) => {
      if (!isTotpCode(code)) return undefined;
      const step = matchingStep(secret, code, null);
      if (step === undefined) return undefined;
      const sealed = {
        sealed: sealer.seal(Buffer.from(secret), store.sealedAs(account.id)),
        kekId: sealer.kekId,
      };
      const set = await store.setSecret(query, account.id, change, sealed, step);
      return set ? renewRecoveryCodes(query, account.id, madeBy) : undefined;
    };

  return {
    setup(interactionUid, account) {
      const bytes = keyedHash(setupKey, interactionUid, account.id).subarray(0, secretBytes);
      const secret = base32.encode(bytes, { padding: false });
      return { secret, otpauthUri: generateURI({ issuer: label, label: account.username, secret }) };
    },
    qrCode: (otpauthUri) => qrToString(otpauthUri, { type: 'svg', margin: 0 }),
    confirm: confirmedBy('first'),
    replace: confirmedBy('replacement'),
    async setBefore(query, account, secret, code, madeBy) {
      const right = isTotpCode(code) && matchingStep(secret, code, null) !== undefined;
      return right ? madeRecoveryCodes(query, account.id, madeBy) : undefined;
    },
    renewRecoveryCodes,
    madeRecoveryCodes,
    recoveryCodesLeft: store.countRecoveryCodes,
    async against(read, accountId) {
      const totp = await store.readSecret(read, accountId);
      return async (query, code) => {
        if (isTotpCode(code)) {
          if (!totp) return undefined;
          const secret = unsealed(accountId, totp);
          const step = matchingStep(secret, code, totp.lastStep);
          if (step === undefined) return undefined;
          if (await store.useStep(query, accountId, step, totp.sealed)) return 'otp';
          // The same secret may have been sealed anew since it was read, under the next key-encryption key.
          const now = await store.readSecret(query, accountId);
          if (!now || now.sealed.equals(totp.sealed) || unsealed(accountId, now) !== secret) return undefined;
          return (await store.useStep(query, accountId, step, now.sealed)) ? 'otp' : undefined;
        }
        const recoveryCode = normalizeRecoveryCode(code);
        if (recoveryCode.length !== recoveryCodeLength) return undefined;
        const hash = recoveryHash(accountId, recoveryCode);
        return (await store.useRecoveryCode(query, accountId, hash, now())) ? 'recovery_code' : undefined;
      };
    },
  };
}

const isTotpCode = (code: string): boolean => /^[0-9]{6}$/.test(code);
