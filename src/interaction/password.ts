/**
 * The password's part of a login and of a sign-up, by OPAQUE: two messages each, the state between them kept for a
 * minute and used once. Whether a name exists never shows: not in status, shape, wording or work. The account page is
 * handed the login's functions for its own proofs; `uid` names the interaction, or what else the two messages belong to.
 */
import type { Accounts } from '../accounts/accounts.ts';
import type { Failures } from '../accounts/failures.ts';
import type { Invitations } from '../accounts/invitations.ts';
import { type Sealer, sha256 } from '../lib/crypto.ts';
import { AppError, invalidRequest } from '../lib/errors.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Opaque } from '../opaque/opaque.ts';
import type { Ephemeral } from '../storage/ephemeral.ts';
import type { Proved } from '../tokens/steps.ts';
import type { Browser, Buckets } from './buckets.ts';
import { createUnanswered } from './unanswered.ts';

export interface PasswordDeps {
  accounts: Accounts;
  invitations: Pick<Invitations, 'accept'>;
  opaque: Opaque;
  failures: Failures;
  buckets: Pick<Buckets, 'ofPassword'>;
  ephemeral: Ephemeral;
  sealer: Pick<Sealer, 'seal' | 'unseal'>;
  /** Called for a proof that was begun and not finished in time. */
  onUnanswered(attempt: Attempt): void;
  /** Milliseconds since the epoch. */
  now: () => number;
}

export interface Passwords {
  /** Begins to look for proofs that are not finished. */
  start(): void;
  stop(): void;
  /** Throws AppError 429 where there were too many failures before. */
  loginInit(uid: string, username: string, ke1: string, from: LoginOrigin): Promise<{ ke2: string }>;
  /** Whose password was proved. Throws AppError 401 for everything else. */
  loginFinish(uid: string, ke3: string): Promise<Proved & { totpConfirmed: boolean }>;
  registerInit(uid: string, username: string, request: string): Promise<{ response: string }>;
  /**
   * The new account. Throws AppError 409 where the name is taken: told only here, under the sign-up limit. `invitation`: the
   * token of the one that is used up with it.
   */
  registerFinish(
    uid: string,
    username: string,
    record: string,
    email: string | undefined,
    invitation: string | undefined,
  ): Promise<Proved>;
}

/** The browser, and the account that is signed in there. */
export interface LoginOrigin extends Omit<Browser, 'sessionUid'> {
  session: { accountId: string; uid: string } | undefined;
  /** For the audit log: which step this is, and for which app. */
  step: string;
  clientId: string | undefined;
}

/** A password that somebody tried. */
export interface Attempt extends Pick<LoginOrigin, 'step' | 'clientId' | 'agent' | 'address'> {
  /** Undefined where the name is nobody's. */
  accountId: string | undefined;
}

/** 401, with whose password it was, for the audit log alone. */
export class WrongPassword extends AppError {
  readonly accountId: string | undefined;

  constructor(accountId?: string) {
    super('invalid_credentials', 'Username or password is wrong.');
    this.accountId = accountId;
  }
}

interface LoginState {
  expected: string;
  /** 1 where the name is an account's, else 0: of one length, as is what follows. */
  known: 0 | 1;
  proved: Proved;
  opaqueKeyId: string;
  /** The ids of what was charged, of 32 bytes each. */
  bucket: string;
  /** When it is too late to finish; milliseconds since the epoch. */
  endsAt: number;
}

interface SignUpState {
  usernameKey: string;
  credentialId: string;
  opaqueKeyId: string;
}

const idsIn = (bytes: Buffer): Buffer[] =>
  Array.from({ length: bytes.length / 32 }, (_, index) => bytes.subarray(index * 32, (index + 1) * 32));

export function createPasswords(deps: PasswordDeps): Passwords {
  const { accounts, invitations, opaque, failures, buckets, ephemeral, sealer, now } = deps;

  /**
   * Sealed, and to its interaction: the expected KE3 is as good as the password to whoever posts it, so nobody who reads
   * where it is kept may learn it, and nobody who writes there may put another account's in its place.
   */
  const loginStates = {
    keep: (uid: string, state: LoginState) =>
      ephemeral.put(
        `ke2:${uid}`,
        sealer.seal(Buffer.from(JSON.stringify(state)), `ke2 ${uid}`).toString('base64url'),
        // Longer than it can be finished: whether it was is seen by whether it is there.
        2 * lifeSeconds.passwordProof,
      ),
    async take(uid: string): Promise<LoginState | undefined> {
      const sealed = await ephemeral.take(`ke2:${uid}`);
      if (sealed === undefined) return undefined;
      return JSON.parse(sealer.unseal(Buffer.from(sealed, 'base64url'), `ke2 ${uid}`).toString());
    },
  };

  const unanswered = createUnanswered<Attempt>({
    seconds: lifeSeconds.passwordProof,
    isThere: async (uid) => (await ephemeral.get(`ke2:${uid}`)) !== undefined,
    report: deps.onUnanswered,
    now,
  });

  return {
    start: unanswered.start,
    stop: unanswered.stop,
    async loginInit(uid, username, ke1, { session, step, clientId, ...browser }) {
      const { key } = accounts.parseUsername(username);
      const { known, accountId, ...credential } = await accounts.credentialOf(key);
      const sessionUid = known && session?.accountId === accountId ? session.uid : undefined;
      // Charged before the work and taken back by a right KE3: a KE1 that is never followed up is a failure.
      const charged = await failures.charge(buckets.ofPassword(key, { ...browser, sessionUid }));
      const { ke2, expected } = await opaque.loginInit(ke1, known ? credential : undefined, key);
      await loginStates.keep(uid, {
        expected,
        known: known ? 1 : 0,
        proved: { accountId, credentialId: credential.credentialId },
        opaqueKeyId: credential.opaqueKeyId,
        bucket: Buffer.concat(charged).toString('base64url'),
        endsAt: now() + lifeSeconds.passwordProof * 1000,
      });
      const { address, agent } = browser;
      unanswered.begun(uid, { step, clientId, agent, address, accountId: known ? accountId : undefined });
      return { ke2 };
    },

    async loginFinish(uid, ke3) {
      const state = await loginStates.take(uid);
      unanswered.finished(uid);
      if (state === undefined) throw new WrongPassword();
      const { expected, known, proved, opaqueKeyId, bucket, endsAt } = state;
      const wrong = new WrongPassword(known === 1 ? proved.accountId : undefined);
      const fits = opaque.loginFinish(ke3, expected);
      if (!fits || known !== 1 || endsAt <= now() || !opaque.hasVersion(opaqueKeyId)) throw wrong;
      const [account] = await Promise.all([
        accounts.byId(proved.accountId),
        failures.refund(idsIn(Buffer.from(bucket, 'base64url'))),
      ]);
      // The password was changed, or the account disabled, between the two messages.
      if (account?.credentialId !== proved.credentialId) throw wrong;
      return { ...proved, totpConfirmed: account.totpConfirmed };
    },

    async registerInit(uid, username, request) {
      const { key } = accounts.parseUsername(username);
      // The same in every try of this sign-up: whichever answer is finished, in two tabs perhaps, its record fits it.
      const credentialId = sha256(`sign-up ${uid} ${key}`).slice(0, 24);
      const { response, keyId } = await opaque.registerInit(request, credentialId);
      const state: SignUpState = { usernameKey: key, credentialId, opaqueKeyId: keyId };
      await ephemeral.put(`sign-up:${uid}`, JSON.stringify(state), lifeSeconds.signUp);
      return { response };
    },

    async registerFinish(uid, username, record, email, invitation) {
      const name = accounts.parseUsername(username);
      const opaqueRecord = opaque.registerFinish(record);
      const text = await ephemeral.take(`sign-up:${uid}`);
      const state = text === undefined ? undefined : (JSON.parse(text) as SignUpState);
      // A key that was dropped in between would leave an account that nobody can sign in with.
      if (state?.usernameKey !== name.key || !opaque.hasVersion(state.opaqueKeyId))
        throw invalidRequest('This sign-up has expired. Try once more.');
      const { credentialId, opaqueKeyId } = state;
      const made = { username: name, email, credentialId, opaqueRecord, opaqueKeyId };
      const account = await (invitation === undefined
        ? accounts.create(made)
        : invitations.accept(invitation, made));
      return { accountId: account.id, credentialId: account.credentialId };
    },
  };
}
