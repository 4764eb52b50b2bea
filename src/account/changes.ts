/**
 * What a person changes about their own sign-in with a proof: password, authenticator, recovery codes. Each
 * change is one transaction that uses its proof up: of parallel ones with one proof, one is made. Recovery codes are shown to
 * the same proof again while it lives: a lost answer must not leave a person with codes that nobody has seen.
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

/** Recovery codes to be shown. `again`: this proof made them before, and whoever has it did not receive the answer. */
export interface NewCodes {
  codes: string[];
  again: boolean;
}

export interface Changes {
  passwordInit(proof: StepToken, request: string): Promise<{ response: string }>;
  /**
   * Stores the new password's record and ends every session, grant and token of the account, that of this browser
   * included: whoever had the old password is out, and the person signs in with the new one. `address`: theirs, for the audit log.
   */
  passwordFinish(who: SignedIn, proof: StepToken, record: string, address: string): Promise<void>;
  /** The secret that this proof offers: the same at every look, kept nowhere before it is confirmed. */
  authenticatorSetup(who: SignedIn, proof: StepToken): TotpSetup;
  /** Confirms the new authenticator by its first code. Returns new recovery codes. Throws AppError 400 `malformed_code`, 401 `invalid_code`. */
  authenticator(who: SignedIn, proof: StepToken, typed: string, browser: Browser): Promise<NewCodes>;
  /** The recovery codes that this proof has made; undefined where others have replaced them, or one was used. */
  recoveryCodesOf(who: SignedIn, proof: StepToken): Promise<string[] | undefined>;
  /** Makes new recovery codes and returns them. */
  recoveryCodes(who: SignedIn, proof: StepToken): Promise<NewCodes>;
}

export function createChanges(deps: ChangeDeps): Changes {
  const { accounts, opaque, secondFactor, totp, stepUp, revocations, audit, database, ephemeral } = deps;
  const keyOf = (jti: string) => `new-password:${jti}`;
  const setup = ({ account }: SignedIn, { jti }: StepToken) => totp.setup(jti, account);
  return {
    // The proof names the credential that it leads to: whichever of several registrations with it is finished, in two tabs
    // perhaps, its record is stored under the identifier that it was made for.
    async passwordInit({ jti }, request) {
      const { response, keyId } = await opaque.registerInit(request, jti);
      // Of a proof's registrations all are made with one OPAQUE key, so that the one that is finished names the right one.
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
