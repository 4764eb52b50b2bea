/**
 * Proves a password by OPAQUE, in two messages. The state between them is valid for a minute and is used once. An
 * answer never shows whether a name exists: not by its status, its shape, its wording or the work that it takes.
 */
import type { Accounts } from '../accounts/accounts.ts';
import type { Sealer } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Opaque } from '../opaque/opaque.ts';
import type { Ephemeral } from '../storage/ephemeral.ts';
import type { Browser, Buckets } from './buckets.ts';
import { type Exchange, firstStepOf, keyOf } from './exchange.ts';
import type { Failures } from './failures.ts';
import { createLoginStates, idsIn } from './login_states.ts';
import { proofRequired, stepRequired, WrongPassword } from './refusals.ts';
import type { Proved } from './step_tokens.ts';
import { createUnanswered } from './unanswered.ts';

export interface PasswordDeps {
  accounts: Pick<Accounts, 'parseUsername' | 'credentialOf' | 'byId'>;
  opaque: Pick<Opaque, 'loginInit' | 'loginFinish' | 'hasVersion'>;
  failures: Pick<Failures, 'charge' | 'refund'>;
  buckets: Pick<Buckets, 'ofPassword' | 'ofUnreadable'>;
  ephemeral: Ephemeral;
  sealer: Pick<Sealer, 'seal' | 'unseal'>;
  /** Reports a proof that was begun and not finished in time. */
  onUnanswered(attempt: Attempt): void;
  /** Milliseconds since the epoch. */
  now: () => number;
}

export interface Passwords {
  /** Starts looking for proofs that are not finished in time. */
  start(): void;
  stop(): void;
  /** Takes KE1 and returns KE2. Throws AppError 429 after too many failures, 400 for a malformed name or message. */
  loginInit(exchange: Exchange, username: string, ke1: string, from: LoginOrigin): Promise<{ ke2: string }>;
  /**
   * Takes KE3 and returns whose password was proved. Throws AppError 401 `login_step_required` or `proof_required` if
   * the state of the first message is gone, or is of a format that this release does not read: the person begins this
   * step again. Throws WrongPassword (401) in all other cases, and AppError 400 for a malformed message.
   */
  loginFinish(exchange: Exchange, ke3: string): Promise<Proved & { totpConfirmed: boolean }>;
}

/** The browser of a login, and the account that is signed in there. */
export interface LoginOrigin extends Omit<Browser, 'sessionUid'> {
  session: { accountId: string; uid: string } | undefined;
  /** For the audit log: the app that the login is for. */
  clientId: string | undefined;
}

/** A password that somebody tried. */
export interface Attempt extends Pick<LoginOrigin, 'clientId' | 'agent' | 'address'> {
  /** The name of the proof's first message. */
  step: string;
  /** Undefined if no account has the name. */
  accountId: string | undefined;
}

export function createPasswords(deps: PasswordDeps): Passwords {
  const { accounts, opaque, failures, buckets, now } = deps;

  const loginStates = createLoginStates(deps);
  const unanswered = createUnanswered<Attempt>({
    seconds: lifeSeconds.passwordProof,
    isThere: loginStates.isThere,
    report: deps.onUnanswered,
    now,
  });

  return {
    start: unanswered.start,
    stop: unanswered.stop,
    async loginInit(exchange, username, ke1, { session, clientId, ...browser }) {
      const { key } = accounts.parseUsername(username);
      const { known, accountId, ...credential } = await accounts.credentialOf(key);
      const sessionUid = known && session?.accountId === accountId ? session.uid : undefined;
      // Charged before the work. A right KE3 takes the charge back, so a KE1 that is never followed up counts as a
      // failure.
      const charged = await failures.charge(buckets.ofPassword(key, { ...browser, sessionUid }));
      const { ke2, expected } = await opaque.loginInit(ke1, known ? credential : undefined, key);
      await loginStates.keep(keyOf(exchange), {
        expected,
        known: known ? 1 : 0,
        proved: { accountId, credentialId: credential.credentialId },
        opaqueKeyId: credential.opaqueKeyId,
        bucket: Buffer.concat(charged).toString('base64url'),
        endsAt: now() + lifeSeconds.passwordProof * 1000,
      });
      const { address, agent } = browser;
      unanswered.begun(keyOf(exchange), {
        step: firstStepOf(exchange),
        clientId,
        agent,
        address,
        accountId: known ? accountId : undefined,
      });
      return { ke2 };
    },

    async loginFinish(exchange, ke3) {
      const key = keyOf(exchange);
      const state = await loginStates.take(key);
      unanswered.finished(key);
      if (!state) throw exchange.for === 'interaction' ? stepRequired() : proofRequired();
      const { expected, known, proved, opaqueKeyId, bucket, endsAt } = state;
      const wrong = () => new WrongPassword(known === 1 ? proved.accountId : undefined);
      const fits = opaque.loginFinish(ke3, expected);
      if (!fits || known !== 1 || endsAt <= now() || !opaque.hasVersion(opaqueKeyId)) throw wrong();
      const [account] = await Promise.all([accounts.byId(proved.accountId), failures.refund(idsIn(bucket))]);
      // The password was changed, or the account disabled, between the two messages.
      if (account?.credentialId !== proved.credentialId) throw wrong();
      return { ...proved, totpConfirmed: account.totpConfirmed };
    },
  };
}
