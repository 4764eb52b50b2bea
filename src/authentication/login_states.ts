/**
 * What is kept between the two messages of a password's proof. It is valid for a minute and used once. A state that this
 * release cannot read proves nothing: neither that a password is right nor that it is wrong.
 */
import type { Sealer } from '../lib/crypto.ts';
import { TooManyFailures } from '../lib/errors.ts';
import { stateOf, stateText } from '../lib/formats.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Ephemeral } from '../storage/ephemeral.ts';
import type { Buckets } from './buckets.ts';
import type { Failures } from './failures.ts';
import type { Proved } from './step_tokens.ts';

export interface LoginState {
  expected: string;
  /**
   * 1 if the name has an account, else 0. All fields have a fixed length, so that the state does not show which it
   * is.
   */
  known: 0 | 1;
  proved: Proved;
  opaqueKeyId: string;
  /**
   * The ids of the charged buckets, 32 bytes each, together as base64url. Every format has this member, so that a
   * release which cannot read the rest can take the charge back.
   */
  bucket: string;
  /** The deadline of the second message, in milliseconds since the epoch. */
  endsAt: number;
}

export interface LoginStateDeps {
  ephemeral: Ephemeral;
  sealer: Pick<Sealer, 'seal' | 'unseal'>;
  failures: Pick<Failures, 'charge' | 'refund'>;
  buckets: Pick<Buckets, 'ofUnreadable'>;
}

export interface LoginStates {
  /** `key`: of the exchange. Replaces the state that it had. */
  keep(key: string, state: LoginState): Promise<void>;
  /** Undefined if there is none, or if this release cannot read it. Then its charge is taken back, within limits. */
  take(key: string): Promise<LoginState | undefined>;
  isThere(key: string): Promise<boolean>;
}

/**
 * The state is sealed to its exchange. Whoever posts the expected KE3 counts as somebody who knows the password. So
 * nobody who can read the store may learn it, and nobody who can write there may replace it with that of another
 * account.
 */
export function createLoginStates({ ephemeral, sealer, failures, buckets }: LoginStateDeps): LoginStates {
  /**
   * A guess shows from KE2 already, whatever happens to its state. So only a few charges are taken back: otherwise two
   * releases side by side would allow any number of guesses.
   */
  async function takeBack(charged: Buffer[]): Promise<void> {
    try {
      await failures.charge(buckets.ofUnreadable(charged));
    } catch (error) {
      if (error instanceof TooManyFailures) return;
      throw error;
    }
    await failures.refund(charged);
  }

  return {
    keep: (key, state) =>
      ephemeral.put(
        `ke2:${key}`,
        sealer.seal(Buffer.from(stateText('passwordProof', state)), `ke2 ${key}`).toString('base64url'),
        // Kept for longer than a proof can be finished: if the state is still there after the deadline, nobody
        // finished it.
        2 * lifeSeconds.passwordProof,
      ),
    async take(key) {
      const sealed = await ephemeral.take(`ke2:${key}`);
      const text = sealed && unsealed(sealer, Buffer.from(sealed, 'base64url'), `ke2 ${key}`);
      if (text === undefined) return undefined;
      const state = stateOf<LoginState>('passwordProof', text);
      if (!state) await takeBack(bucketsIn(text));
      return state;
    },
    isThere: async (key) => (await ephemeral.get(`ke2:${key}`)) !== undefined,
  };
}

/** Undefined if this instance cannot unseal it, for example because another one has a newer key-encryption key. */
function unsealed(sealer: Pick<Sealer, 'unseal'>, sealed: Buffer, identity: string): string | undefined {
  try {
    return sealer.unseal(sealed, identity).toString();
  } catch {
    return undefined;
  }
}

/** The ids of the buckets that a state names, whatever its format is. */
function bucketsIn(text: string): Buffer[] {
  try {
    return idsIn(String(JSON.parse(text).bucket));
  } catch {
    return [];
  }
}

/** The ids in the member `bucket`. */
export function idsIn(bucket: string): Buffer[] {
  const bytes = Buffer.from(bucket, 'base64url');
  const count = Math.floor(bytes.length / 32);
  return Array.from({ length: count }, (_, index) => bytes.subarray(index * 32, (index + 1) * 32));
}
