/**
 * The second factor: time-based codes (RFC 6238: SHA-1, 6 digits, 30 s, one step of drift either way) and recovery
 * codes. The secret is sealed at rest. A time step and a recovery code each work once, decided by one conditional UPDATE.
 */
import { generateURI, ScureBase32Plugin } from 'otplib';
import { toString as qrToString } from 'qrcode';
import { keyedHash, type Sealer } from '../lib/crypto.ts';
import { AppError } from '../lib/errors.ts';
import { type Factor, otherTime, type TypedCode } from '../lib/typed_code.ts';
import type { Query } from '../storage/database.ts';
import { clockHintSeconds, matchingStep } from './match.ts';
import { createRecoveryCodes } from './recovery_codes.ts';
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
   * Replaces the secret by a new one, which a code confirms. The steps that were used of the old one count no more. Returns new
   * recovery codes, or undefined if the code is wrong, or the account has no authenticator or is disabled.
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
   * Reads the account's secret, and returns the function that verifies a code with it. That one uses up a time step or a recovery
   * code. It gives undefined if the code is wrong or was used before, and throws AppError 503 `factor_unreadable` if the secret
   * cannot be unsealed. In two parts, so that the reading is done before a transaction that others wait for.
   */
  verifierFor(query: Query, accountId: string): Promise<UseCode>;
}

export interface TotpDeps {
  issuer: string;
  sealer: Sealer;
  setupKey: Uint8Array;
  recoveryKey: Uint8Array;
  /** What recovery codes are derived with; `recoveryKey` is what their hashes are keyed with. */
  recoveryCodesKey: Uint8Array;
  /** Called for a secret that cannot be unsealed. */
  onUnreadable(accountId: string, cause: unknown): void;
  now: () => number;
}

const secretBytes = 20;
const base32 = new ScureBase32Plugin();

export function createTotp(deps: TotpDeps): Totp {
  const { issuer, sealer, setupKey, recoveryKey, recoveryCodesKey, now } = deps;
  const label = new URL(issuer).host;

  const unsealed = (accountId: string, stored: store.StoredSecret) => unsealSecret(deps, accountId, stored);
  const recoveryCodes = createRecoveryCodes({ codesKey: recoveryCodesKey, hashKey: recoveryKey, now });

  async function useTotpCode(
    query: Query,
    accountId: string,
    { text }: TypedCode,
    stored: store.StoredSecret | undefined,
  ): Promise<'otp' | typeof otherTime | undefined> {
    if (!stored) return undefined;
    const secret = unsealed(accountId, stored);
    const match = matchingStep({ secret, code: text, afterStep: stored.lastStep }, now());
    if (!match) return undefined;
    if (!match.isNow) {
      await store.invalidateStep(query, accountId, match.step, now() + 2 * clockHintSeconds * 1000);
      return otherTime;
    }
    if (await store.useStep(query, accountId, match.step, stored.sealed)) return 'otp';
    // The same secret may have been sealed anew since it was read, under the next key-encryption key.
    const current = await store.readSecret(query, accountId);
    if (!current || current.sealed.equals(stored.sealed) || unsealed(accountId, current) !== secret)
      return undefined;
    return (await store.useStep(query, accountId, match.step, current.sealed)) ? 'otp' : undefined;
  }

  /** Sets a secret that its first code confirms, with new recovery codes. */
  const confirmedBy =
    (change: store.SecretChange): SetSecret =>
    async (query, account, { secret, code, madeBy }) => {
      const match = matchingStep({ secret, code: code.text, afterStep: null }, now());
      if (!match) return undefined;
      // The secret is on the person's screen: there is nothing that this could tell a guesser.
      if (!match.isNow) return otherTime;
      const sealed = sealer.seal(Buffer.from(secret), store.sealedAs(account.id));
      const { kekId } = sealer;
      const set = await store.setSecret(query, account.id, { change, sealed, kekId, step: match.step });
      return set ? recoveryCodes.renew(query, account.id, madeBy) : undefined;
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
      const right = matchingStep({ secret, code: code.text, afterStep: null }, now())?.isNow === true;
      return right ? recoveryCodes.made(query, account.id, madeBy) : undefined;
    },
    renewRecoveryCodes: recoveryCodes.renew,
    madeRecoveryCodes: recoveryCodes.made,
    recoveryCodesLeft: store.countRecoveryCodes,
    async verifierFor(read, accountId) {
      const stored = await store.readSecret(read, accountId);
      return async (query, code) => {
        if (code.factor !== 'recovery_code') return useTotpCode(query, accountId, code, stored);
        return (await recoveryCodes.use(query, accountId, code)) ? code.factor : undefined;
      };
    },
  };
}

function unsealSecret(
  { sealer, onUnreadable }: TotpDeps,
  accountId: string,
  { sealed, kekId }: store.StoredSecret,
): string {
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
