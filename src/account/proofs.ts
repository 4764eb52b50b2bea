/**
 * The step-up proof in front of every change of a password or second factor: the present password by OPAQUE and the
 * present factor, both anew, whatever the session proved before. It is a step token (tokens/steps.ts) of this session and
 * of one kind of change. Wrong passwords and codes count to the same failures as those of a login.
 */

import type { Browser } from '../interaction/buckets.ts';
import type { Passwords } from '../interaction/password.ts';
import type { SecondFactor } from '../interaction/second_factor.ts';
import { AppError } from '../lib/errors.ts';
import { type Factor, parseCode } from '../lib/typed_code.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { SignedIn } from '../oidc/session/signed_in.ts';
import type { Query } from '../storage/database.ts';
import type { Step, Steps } from '../tokens/steps.ts';
import type { Totp } from '../totp/totp.ts';

/** The kinds of change, as in the addresses of their pages. */
export const changes = ['password', 'authenticator', 'recovery-codes'] as const;
export type Change = (typeof changes)[number];

export interface ProofDeps {
  passwords: Pick<Passwords, 'loginInit' | 'loginFinish'>;
  secondFactor: Pick<SecondFactor, 'attempt'>;
  totp: Pick<Totp, 'against'>;
  steps: Steps;
  query: Query;
  accounts: { holdsCredential(query: Query, id: string, credentialId: string): Promise<boolean> };
}

export interface Proofs {
  /** How long a proof is good for. */
  secondsOf(change: Change): number;
  /** A live session has failures of its own: what strangers do elsewhere never keeps it from proving the password. */
  init(who: SignedIn, change: Change, ke1: string, browser: Browser): Promise<{ ke2: string }>;
  /** The proof as a token, and by which factor. Throws AppError 401 `invalid_credentials` or `invalid_code`, 400 `malformed_code`, 429. */
  finish(
    who: SignedIn,
    change: Change,
    given: { ke3: string; code: string },
    browser: Browser,
  ): Promise<{ token: string; factor: Factor }>;
  /** Undefined for whatever is not a live proof for this change by who is signed in here. */
  open(who: SignedIn, change: Change, token: string | undefined): Promise<Step | undefined>;
  /**
   * Uses a proof up in the transaction of the change. False where it was used before: its change was made. Throws AppError 401
   * `proof_required` where the password is another one meanwhile.
   */
  use(query: Query, proof: Step): Promise<boolean>;
  /** The same, and throws AppError 401 `proof_required` where it was used before. */
  spend(query: Query, proof: Step): Promise<void>;
}

export function createProofs({ passwords, secondFactor, totp, steps, accounts, query }: ProofDeps): Proofs {
  const exchange = ({ sessionUid }: SignedIn, change: Change) => `account ${change} ${sessionUid}`;
  const purpose = ({ sessionUid: session }: SignedIn, change: Change) => ({ session, change });
  const use: Proofs['use'] = async (query, { accountId, credentialId, jti }) => {
    if (!(await accounts.holdsCredential(query, accountId, credentialId))) throw proofRequired();
    return steps.spend(query, jti);
  };
  const secondsOf = (change: Change) => (change === 'authenticator' ? lifeSeconds.setUpToken : steps.seconds);
  return {
    secondsOf,
    init: (who, change, ke1, { address, agent, device }) =>
      passwords.loginInit(exchange(who, change), who.account.username, ke1, {
        address,
        agent,
        device,
        session: { accountId: who.account.id, uid: who.sessionUid },
        step: `account/${change}/proof/init`,
        clientId: undefined,
      }),
    async finish(who, change, { ke3, code }, browser) {
      const proved = await passwords.loginFinish(exchange(who, change), ke3);
      // After the password, whose attempt would count as a failed one otherwise.
      const typed = parseCode(code);
      const use = await totp.against(query, who.account.id);
      const factor = await secondFactor.attempt(who.account, browser, (within) => use(within, typed));
      return { token: await steps.issue(proved, purpose(who, change), secondsOf(change)), factor };
    },
    async open(who, change, token) {
      const proof = await steps.open(token, purpose(who, change));
      const theirs = proof?.accountId === who.account.id && proof.credentialId === who.account.credentialId;
      return theirs ? proof : undefined;
    },
    use,
    async spend(query, proof) {
      if (!(await use(query, proof))) throw proofRequired();
    },
  };
}

/** 401: the password and code were not given for this change, or too long ago, or the change was made with them. */
export const proofRequired = (): AppError =>
  new AppError('proof_required', 'Your confirmation has expired. Reload this page and confirm once more.');
