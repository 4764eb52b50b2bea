/** Decides who may sign up in this browser: anybody, or only somebody who has opened an invitation in it. */
import type { Context } from 'koa';
import type { Accounts } from '../accounts/accounts.ts';
import type { Invitation, Invitations } from '../accounts/invitations.ts';
import { AppError, invitationEnded } from '../lib/errors.ts';
import type { LinkCookie } from './link_cookie.ts';

export interface InvitedDeps {
  invitations: Pick<Invitations, 'byToken'>;
  accounts: Pick<Accounts, 'parseUsername'>;
  /** Whether people may sign up without an invitation. */
  signUpIsOpen: boolean;
  cookie: LinkCookie;
}

export type OpenedInvitation = Invitation & { token: string };

export interface Invited {
  cookie: LinkCookie;
  /**
   * The invitation that was opened in this browser, while it is valid. Otherwise undefined, and the answer removes
   * the cookie, unless it is an error.
   */
  invitation(ctx: Context): Promise<OpenedInvitation | undefined>;
  /** Whether a sign-up may begin in this browser. */
  maySignUp(invitation: Invitation | undefined): boolean;
  /**
   * The invitation for a sign-up under this name. Undefined if none is needed. Throws AppError 403
   * `invitation_required`, `invitation_ended`, or `forbidden` if the invitation is for another name.
   */
  admit(ctx: Context, username: string): Promise<OpenedInvitation | undefined>;
}

export function createInvited({ invitations, accounts, signUpIsOpen, cookie }: InvitedDeps): Invited {
  const invited: Invited = {
    cookie,
    async invitation(ctx) {
      const token = cookie.read(ctx);
      const invitation = token === undefined ? undefined : await invitations.byToken(token);
      if (token !== undefined && !invitation) cookie.forget(ctx);
      return invitation && token ? { ...invitation, token } : undefined;
    },
    maySignUp: (invitation) => signUpIsOpen || invitation !== undefined,
    async admit(ctx, username) {
      const invitation = await invited.invitation(ctx);
      if (!invitation) {
        if (cookie.read(ctx) !== undefined) throw invitationEnded();
        if (!signUpIsOpen) throw invitationRequired();
        return undefined;
      }
      if (accounts.parseUsername(username).key !== invitation.usernameKey)
        throw new AppError('forbidden', `This invitation is for the username ${invitation.username}.`);
      return invitation;
    },
  };
  return invited;
}

/** 403: nobody may sign up without an invitation. */
export const invitationRequired = (): AppError =>
  new AppError(
    'invitation_required',
    'Accounts are made by invitation here. Ask whoever runs this service for one.',
  );
