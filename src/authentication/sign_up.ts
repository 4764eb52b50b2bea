/**
 * The password of a new account, by OPAQUE, in two messages. The state between them is used once. Only the second
 * message shows that a name is taken, and the number of sign-ups is limited.
 */
import type { Accounts } from '../accounts/accounts.ts';
import type { Invitations } from '../accounts/invitations.ts';
import { sha256 } from '../lib/crypto.ts';
import { invalidRequest } from '../lib/errors.ts';
import { stateOf, stateText } from '../lib/formats.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Opaque } from '../opaque/opaque.ts';
import type { Ephemeral } from '../storage/ephemeral.ts';
import type { Proved } from './step_tokens.ts';

export interface SignUpDeps {
  accounts: Pick<Accounts, 'parseUsername' | 'create'>;
  invitations: Pick<Invitations, 'accept'>;
  opaque: Pick<Opaque, 'registerInit' | 'registerFinish' | 'hasVersion'>;
  ephemeral: Pick<Ephemeral, 'put' | 'take'>;
}

export interface NewPassword {
  username: string;
  /** OPAQUE's record, as the browser made it. */
  record: string;
  email: string | undefined;
  /** The token of the invitation that the sign-up uses. */
  invitation: string | undefined;
}

export interface SignUp {
  /** `uid`: of the interaction. `request`, `response`: OPAQUE's messages. Throws AppError 400. */
  init(uid: string, username: string, request: string): Promise<{ response: string }>;
  /**
   * Makes the account. Throws AppError 409 `username_taken`, 403 `invitation_ended`, 400 for a malformed record or a
   * sign-up that has expired.
   */
  finish(uid: string, given: NewPassword): Promise<Proved>;
}

interface SignUpState {
  usernameKey: string;
  credentialId: string;
  opaqueKeyId: string;
}

export function createSignUp({ accounts, invitations, opaque, ephemeral }: SignUpDeps): SignUp {
  return {
    async init(uid, username, request) {
      const { key } = accounts.parseUsername(username);
      // The same in every attempt of this sign-up. So if it runs in two tabs, whichever record is finished fits this
      // id.
      const credentialId = sha256(`sign-up ${uid} ${key}`).slice(0, 24);
      const { response, keyId } = await opaque.registerInit(request, credentialId);
      const state: SignUpState = { usernameKey: key, credentialId, opaqueKeyId: keyId };
      await ephemeral.put(`sign-up:${uid}`, stateText('signUp', state), lifeSeconds.signUp);
      return { response };
    },
    async finish(uid, { username, record, email, invitation }) {
      const name = accounts.parseUsername(username);
      const opaqueRecord = opaque.registerFinish(record);
      const state = stateOf<SignUpState>('signUp', await ephemeral.take(`sign-up:${uid}`));
      // If the key was dropped in between, nobody could ever sign in to the account.
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
