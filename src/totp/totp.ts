/**
 * The second factor: time-based codes (RFC 6238: SHA-1, 6 digits, 30 s, one step of drift in either direction) and
 * recovery codes. This room owns the secrets, which are sealed at rest, and the rule that a time step or a recovery
 * code works once, which one conditional UPDATE decides. It does not own limits on wrong codes, sessions or pages.
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
  /** Base32, as authenticator apps accept it. */
  secret: string;
  otpauthUri: string;
}

/** Uses a code. Returns its factor, `otherTime` if a clock is wrong, or undefined if the code is refused. */
export type UseCode = (query: Query, code: TypedCode) => Promise<Factor | typeof otherTime | undefined>;

/** A new secret with the code that confirms it. */
export interface SecretProof {
  secret: string;
  /** A code of `secret`. */
  code: TypedCode;
  /** What recovery codes are derived from: see `renewRecoveryCodes`. */
  madeBy: string;
}

type SetSecret = (
  query: Query,
  account: { id: string },
  proof: SecretProof,
) => Promise<string[] | typeof otherTime | undefined>;

export interface Totp {
  /** The name of this site in authenticator apps: its host. */
  readonly label: string;
  /**
   * The secret that this interaction offers to this account. It is derived, so nothing is stored before it is
   * confirmed. Another browser that proves the same password is offered another secret.
   */
  setup(interactionUid: string, account: { id: string; username: string }): TotpSetup;
  /** SVG markup of the otpauth URI. */
  qrCode(otpauthUri: string): Promise<string>;
  /**
   * Stores the first secret of an account, which a code confirms. Returns ten new recovery codes, or `otherTime` if a
   * clock is wrong. Returns undefined if the code is wrong, or if the account has an authenticator or is disabled.
   */
  confirm: SetSecret;
  /**
   * Replaces the secret by a new one, which a code confirms. The used steps of the old one are forgotten. Returns new
   * recovery codes, or `otherTime` if a clock is wrong. Returns undefined if the code is wrong, or if the account has
   * no authenticator or is disabled.
   */
  replace: SetSecret;
  /**
   * Returns again what `confirm` or `replace` returned, for a person who did not receive the answer and enters a code
   * of the secret again. Undefined if the code is wrong, or if `madeRecoveryCodes` returns undefined.
   */
  setBefore(query: Query, account: { id: string }, proof: SecretProof): Promise<string[] | undefined>;
  /**
   * Makes ten new recovery codes, which replace the old ones. They are derived from `madeBy`, the id of the proof or
   * sign-in step that makes them, so that they can be shown again to its holder. The codes themselves are not stored.
   */
  renewRecoveryCodes(query: Query, accountId: string, madeBy: string): Promise<string[]>;
  /** The codes of `madeBy`. Undefined if the account has other codes now, or if one of them was used. */
  madeRecoveryCodes(query: Query, accountId: string, madeBy: string): Promise<string[] | undefined>;
  /** How many recovery codes are left. */
  recoveryCodesLeft(query: Query, accountId: string): Promise<number>;
  /**
   * Reads the account's secret, and returns the function that verifies a code with it. These are two steps, so that
   * the secret is read before a transaction begins that other requests may wait for.
   *
   * The function marks the time step or the recovery code as used. It returns undefined if the code is wrong or was
   * used before. It throws AppError 503 `factor_unreadable` if the secret cannot be unsealed.
   */
  verifierFor(query: Query, accountId: string): Promise<UseCode>;
}

export interface TotpDeps {
  issuer: string;
  sealer: Sealer;
  /** The key that new secrets are derived from. */
  setupKey: Uint8Array;
  /** The key of the recovery codes' hashes. */
  recoveryKey: Uint8Array;
  /** The key that recovery codes are derived from. */
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
  const recoveryCodes = createRecoveryCodes({ codesKey: recoveryCodesKey, hashKey: recoveryKey });

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
    // The same secret may have been sealed again since it was read, with a new key-encryption key.
    const current = await store.readSecret(query, accountId);
    if (!current || current.sealed.equals(stored.sealed) || unsealed(accountId, current) !== secret)
      return undefined;
    return (await store.useStep(query, accountId, match.step, current.sealed)) ? 'otp' : undefined;
  }

  /** Stores a secret that a code confirms, and makes new recovery codes. */
  const confirmedBy =
    (change: store.SecretChange): SetSecret =>
    async (query, account, { secret, code, madeBy }) => {
      const match = matchingStep({ secret, code: code.text, afterStep: null }, now());
      if (!match) return undefined;
      // The person sees the secret on the screen, so `otherTime` reveals nothing to a guesser.
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
