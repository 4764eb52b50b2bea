/**
 * The changes that a person makes to their own sign-in with a proof: password, authenticator, recovery codes. Each
 * change is one transaction that uses its proof up, so of parallel changes with one proof only one is made. While the
 * proof is valid, it can show its new recovery codes again: a lost answer must not leave a person with codes that
 * nobody has seen.
 */

import type { Accounts } from '../accounts/accounts.ts';
import type { Audit } from '../audit/audit.ts';
import type { Browser } from '../authentication/buckets.ts';
import { proofRequired } from '../authentication/refusals.ts';
import type { SecondFactor } from '../authentication/second_factor.ts';
import type { StepToken } from '../authentication/step_tokens.ts';
import type { StepUp } from '../authentication/step_up.ts';
import { otherTime, parseTotpCode } from '../lib/typed_code.ts';
import type { SignedIn } from '../oidc/session/signed_in.ts';
import type { Opaque } from '../opaque/opaque.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { Database } from '../storage/database.ts';
import type { Ephemeral } from '../storage/ephemeral.ts';
import type { Totp, TotpSetup } from '../totp/totp.ts';
import { secondsOf } from './change_kinds.ts';

export interface ChangeDeps {
  accounts: Pick<Accounts, 'replaceCredential'>;
  opaque: Pick<Opaque, 'registerInit' | 'registerFinish' | 'hasVersion'>;
  secondFactor: Pick<SecondFactor, 'attempt'>;
  totp: Pick<Totp, 'setup' | 'replace' | 'setBefore' | 'renewRecoveryCodes' | 'madeRecoveryCodes'>;
  stepUp: Pick<StepUp, 'use' | 'spend'>;
  revocations: Pick<Revocations, 'endAccount'>;
  audit: Pick<Audit, 'recordWithin'>;
  database: Database;
  ephemeral: Pick<Ephemeral, 'get' | 'put'>;
}

/** Recovery codes to show. `again`: this proof has made them before, but the answer did not arrive. */
export interface NewCodes {
  codes: string[];
  again: boolean;
}

export interface Changes {
  passwordInit(proof: StepToken, request: string): Promise<{ response: string }>;
  /**
   * Stores the new password's record, and ends every session, grant and token of the account, including this
   * browser's session. So whoever had the old password has no access left, and the person signs in with the new one.
   * `address`: the person's, for the audit log. Throws AppError 401 `proof_required`, 400 for a malformed record.
   */
  passwordFinish(who: SignedIn, proof: StepToken, record: string, address: string): Promise<void>;
  /** The secret that this proof offers. It is the same each time, and is not stored before it is confirmed. */
  authenticatorSetup(who: SignedIn, proof: StepToken): TotpSetup;
  /**
   * Confirms the new authenticator by its first code, and returns new recovery codes. Throws AppError 400
   * `malformed_code`, 401 `invalid_code` or `proof_required`, 429.
   */
  authenticator(who: SignedIn, proof: StepToken, typed: string, browser: Browser): Promise<NewCodes>;
  /** The recovery codes that this proof has made. Undefined if they were replaced, or if one of them was used. */
  recoveryCodesOf(who: SignedIn, proof: StepToken): Promise<string[] | undefined>;
  /** Makes new recovery codes and returns them. Throws AppError 401 `proof_required`. */
  recoveryCodes(who: SignedIn, proof: StepToken): Promise<NewCodes>;
}

export function createChanges(deps: ChangeDeps): Changes {
  const { accounts, opaque, secondFactor, totp, stepUp, revocations, audit, database, ephemeral } = deps;
  const keyOf = (jti: string) => `new-password:${jti}`;
  const setup = ({ account }: SignedIn, { jti }: StepToken) => totp.setup(jti, account);
  return {
    // The proof's id becomes the id of the new credential. Two tabs may each start a registration with one proof;
    // whichever is finished, its record is stored under the identifier that it was made for.
    async passwordInit({ jti }, request) {
      const { response, keyId } = await opaque.registerInit(request, jti);
      // All registrations of one proof use one OPAQUE key, so that the key that is stored with the record is the
      // right one.
      const bound = await ephemeral.get(keyOf(jti));
      if (bound === undefined) await ephemeral.put(keyOf(jti), keyId, secondsOf('password'));
      else if (bound !== keyId) throw proofRequired();
      return { response };
    },
    async passwordFinish({ account }, proof, record, address) {
      const opaqueRecord = opaque.registerFinish(record);
      const opaqueKeyId = (await ephemeral.get(keyOf(proof.jti))) ?? '';
      if (!opaque.hasVersion(opaqueKeyId)) throw proofRequired();
      const credential = { credentialId: proof.jti, opaqueRecord, opaqueKeyId };
      await database.transaction(async (query) => {
        await stepUp.spend(query, proof);
        if (!(await accounts.replaceCredential(query, account.id, proof.credentialId, credential)))
          throw proofRequired();
        await revocations.endAccount(account.id, query);
        const event = { accountId: account.id, address, detail: { by: 'owner' } };
        await audit.recordWithin(query, { event: 'password.changed', ...event });
      });
    },
    authenticatorSetup: setup,
    async authenticator(who, proof, typed, browser) {
      const { secret } = setup(who, proof);
      const given = { secret, code: parseTotpCode(typed), madeBy: proof.jti };
      return secondFactor.attempt(who.account, browser, async (query) => {
        const before = await totp.setBefore(query, who.account, given);
        if (before) return { codes: before, again: true };
        const codes = await totp.replace(query, who.account, given);
        if (codes === undefined || codes === otherTime) return codes;
        await stepUp.spend(query, proof);
        return { codes, again: false };
      });
    },
    recoveryCodesOf: ({ account }, { jti }) => totp.madeRecoveryCodes(database.query, account.id, jti),
    recoveryCodes: ({ account }, proof) =>
      database.transaction(async (query) => {
        const first = await stepUp.use(query, proof);
        const made = first ? totp.renewRecoveryCodes : totp.madeRecoveryCodes;
        const codes = await made(query, account.id, proof.jti);
        if (!codes) throw proofRequired();
        return { codes, again: !first };
      }),
  };
}
