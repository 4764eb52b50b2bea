/**
 * Who may sign up in this browser: anybody, or somebody with an invitation. The token of an opened invitation is in a cookie,
 * first for the page that explains it alone, then, once the person has gone on from there, for the sign-up.
 */
import type { Context } from 'koa';
import type { Accounts } from '../accounts/accounts.ts';
import type { Invitation, Invitations } from '../accounts/invitations.ts';
import { cookieNames } from '../lib/cookies.ts';
import { AppError, invitationEnded } from '../lib/errors.ts';
import { lifeSeconds } from '../lifetimes.ts';

export interface InvitedDeps {
  invitations: Pick<Invitations, 'byToken'>;
  accounts: Pick<Accounts, 'parseUsername'>;
  /** Whether people sign up without an invitation. */
  signUpIsOpen: boolean;
  secureCookies: boolean;
}

export type OpenedInvitation = Invitation & { token: string };

export interface Invited {
  /** Keeps the token for the pages below `path`; undefined takes it away there. */
  keep(ctx: Context, path: '/invitation' | '/interaction', token: string | undefined): void;
  /** Takes it away everywhere: it has been used. */
  forget(ctx: Context): void;
  /** The invitation of this browser, while it is good; one that is not is forgotten with a page that is shown then. */
  invitation(ctx: Context): Promise<OpenedInvitation | undefined>;
  /** Whether a sign-up can begin in this browser. */
  maySignUp(invitation: Invitation | undefined): boolean;
  /**
   * The invitation by which somebody signs up under this name; undefined where none is needed. Throws AppError 403
   * `invitation_required`, `invitation_ended`, or `forbidden` where it is for another name.
   */
  admit(ctx: Context, username: string): Promise<OpenedInvitation | undefined>;
}

/** Long enough for the sign-up, short enough that the next person at this browser is not taken for the one invited. */
export function createInvited({ invitations, accounts, signUpIsOpen, secureCookies }: InvitedDeps): Invited {
  const { invitation: cookie } = cookieNames(secureCookies);
  // Not `overwrite`: it would take the cookie of the same name for the other path out of the answer.
  const base = { httpOnly: true, sameSite: 'lax', secure: secureCookies, signed: false } as const;

  const invited: Invited = {
    keep(ctx, path, token) {
      ctx.cookies.set(cookie, token ?? null, { ...base, path, maxAge: lifeSeconds.invitedBrowser * 1000 });
    },
    forget(ctx) {
      invited.keep(ctx, '/invitation', undefined);
      invited.keep(ctx, '/interaction', undefined);
    },
    async invitation(ctx) {
      const token = ctx.cookies.get(cookie);
      const invitation = token === undefined ? undefined : await invitations.byToken(token);
      if (token !== undefined && !invitation) invited.forget(ctx);
      return invitation && token ? { ...invitation, token } : undefined;
    },
    maySignUp: (invitation) => signUpIsOpen || invitation !== undefined,
    async admit(ctx, username) {
      const invitation = await invited.invitation(ctx);
      if (!invitation) {
        if (ctx.cookies.get(cookie) !== undefined) throw invitationEnded();
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

/** 403: there is no sign-up without an invitation. */
export const invitationRequired = (): AppError =>
  new AppError(
    'invitation_required',
    'Accounts are made by invitation here. Ask whoever runs this service for one.',
  );
