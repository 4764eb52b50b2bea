/**
 * The second factor: time-based codes (RFC 6238: SHA-1, 6 digits, 30 s, one step of drift either way) and recovery
 * codes. The secret is sealed at rest; a time step and a recovery code each work once, decided by a conditional UPDATE
 * in store.ts. Called by the interaction's steps and by the account page.
 */
import { generateURI, ScureBase32Plugin, verifySync } from 'otplib';
import { toString as qrToString } from 'qrcode';
import { keyedHash, type Sealer } from '../lib/crypto.ts';
import { AppError } from '../lib/errors.ts';
import { type Factor, otherTime, parseCode, type TypedCode } from '../lib/typed_code.ts';
import type { Query } from '../storage/database.ts';
import { recoveryCodeFrom } from './recovery_code.ts';
import * as store from './store.ts';

export interface TotpSetup {
  /** Base32, as the authenticator takes it. */
  secret: string;
  otpauthUri: string;
}

export type UseCode = (query: Query, code: TypedCode) => Promise<Factor | typeof otherTime | undefined>;

/** What a secret is set by; `madeBy`: see `renewRecoveryCodes`. */
export interface SecretProof {
  secret: string;
  /** A code of it. */
  code: TypedCode;
  madeBy: string;
}

type SetSecret = (
  query: Query,
  account: { id: string },
  proof: SecretProof,
) => Promise<string[] | typeof otherTime | undefined>;

export interface Totp {
  /** What authenticator apps call this site: its host. */
  readonly label: string;
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
  setBefore(query: Query, account: { id: string }, proof: SecretProof): Promise<string[] | undefined>;
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
   * transaction that others wait for is spared the reading. The function throws AppError 503 `factor_unreadable` where the
   * secret cannot be unsealed.
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
  /** Told of a secret that cannot be unsealed. */
  onUnreadable(accountId: string, cause: unknown): void;
  now: () => number;
}

const stepSeconds = 30;
/** How far a clock may be off for a person to be told so: phones without a network drift by minutes, not by hours. */
const clockHintSeconds = 600;
const secretBytes = 20;
const recoveryCodeCount = 10;
const base32 = new ScureBase32Plugin();

export function createTotp(deps: TotpDeps): Totp {
  const { issuer, sealer, setupKey, recoveryKey, recoveryCodesKey, onUnreadable, now } = deps;
  const label = new URL(issuer).host;

  /**
   * The step after `afterStep` that the code is right for, and whether that is now; undefined where there is none. Steps
   * further off are looked at only for a code that is refused.
   */
  function matchingStep(
    secret: string,
    { text: token }: TypedCode,
    afterStep: number | null,
  ): { step: number; isNow: boolean } | undefined {
    const epoch = Math.floor(now() / 1000);
    const after = afterStep === null ? {} : { afterTimeStep: afterStep };
    // A clock that was set back must refuse, not fail: otplib throws where the last used step lies in the future.
    if (afterStep !== null && afterStep > Math.floor(epoch / stepSeconds)) return undefined;
    for (const epochTolerance of [stepSeconds, clockHintSeconds]) {
      const result = verifySync({ secret, token, epoch, epochTolerance, ...after });
      if (result.valid && 'timeStep' in result)
        return { step: result.timeStep, isNow: epochTolerance === stepSeconds };
    }
    return undefined;
  }

  function unsealed(accountId: string, { sealed, kekId }: { sealed: Buffer; kekId: string }): string {
    try {
      return sealer.unseal(sealed, store.sealedAs(accountId), kekId).toString();
    } catch (cause) {
      onUnreadable(accountId, cause);
      throw new AppError(
        'factor_unreadable',
        'Your authenticator cannot be checked now. Use a recovery code, or tell the people who run this service.',
        { cause },
      );
    }
  }

  const recoveryHash = (accountId: string, code: string) => keyedHash(recoveryKey, accountId, code);

  function recoveryCodesOf(accountId: string, madeBy: string): { codes: string[]; hashes: Buffer[] } {
    const codes = Array.from({ length: recoveryCodeCount }, (_, index) =>
      recoveryCodeFrom(keyedHash(recoveryCodesKey, accountId, madeBy, String(index))),
    );
    return { codes, hashes: codes.map((code) => recoveryHash(accountId, parseCode(code).text)) };
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
    async (query, account, { secret, code, madeBy }) => {
      const match = matchingStep(secret, code, null);
      if (!match) return undefined;
      // The secret is on the person's screen: there is nothing that this could tell a guesser.
      if (!match.isNow) return otherTime;
      const sealed = {
        sealed: sealer.seal(Buffer.from(secret), store.sealedAs(account.id)),
        kekId: sealer.kekId,
      };
      const set = await store.setSecret(query, account.id, change, sealed, match.step);
      return set ? renewRecoveryCodes(query, account.id, madeBy) : undefined;
    };

  return {
    label,
    setup(interactionUid, account) {
      const bytes = keyedHash(setupKey, interactionUid, account.id).subarray(0, secretBytes);
      const secret = base32.encode(bytes, { padding: false });
      return { secret, otpauthUri: generateURI({ issuer: label, label: account.username, secret }) };
    },
    qrCode: (otpauthUri) => qrToString(otpauthUri, { type: 'svg', margin: 0 }),
    confirm: confirmedBy('first'),
    replace: confirmedBy('replacement'),
    async setBefore(query, account, { secret, code, madeBy }) {
      const right = matchingStep(secret, code, null)?.isNow === true;
      return right ? madeRecoveryCodes(query, account.id, madeBy) : undefined;
    },
    renewRecoveryCodes,
    madeRecoveryCodes,
    recoveryCodesLeft: store.countRecoveryCodes,
    async against(read, accountId) {
      const totp = await store.readSecret(read, accountId);
      return async (query, code) => {
        if (code.factor === 'recovery_code') {
          const hash = recoveryHash(accountId, code.text);
          return (await store.useRecoveryCode(query, accountId, hash, now())) ? 'recovery_code' : undefined;
        }
        if (!totp) return undefined;
        const secret = unsealed(accountId, totp);
        const match = matchingStep(secret, code, totp.lastStep);
        if (!match) return undefined;
        const { step, isNow } = match;
        if (!isNow) {
          await store.burnStep(query, accountId, step, now() + 2 * clockHintSeconds * 1000);
          return otherTime;
        }
        if (await store.useStep(query, accountId, step, totp.sealed)) return 'otp';
        // The same secret may have been sealed anew since it was read, under the next key-encryption key.
        const present = await store.readSecret(query, accountId);
        if (!present || present.sealed.equals(totp.sealed) || unsealed(accountId, present) !== secret)
          return undefined;
        return (await store.useStep(query, accountId, step, present.sealed)) ? 'otp' : undefined;
      };
    },
  };
}
