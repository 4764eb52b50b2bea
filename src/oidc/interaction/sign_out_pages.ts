/** The page that asks whether to sign out, and the page after the sign-out. */
import type { Accounts } from '../../accounts/accounts.ts';
import { accountClientId } from '../../config/client_schema.ts';
import { formActionFor } from '../../http/onward.ts';
import type { PageViews, SignedOutApp } from '../../http/views.ts';
import type { SignedOut } from '../session/signed_out.ts';
import type { Pages } from './page.ts';
import { type AppOf, type NameOf, showPage } from './page.ts';

/** What the page after a sign-out says about an app, by the state of its notification. */
const answers: Record<string, SignedOutApp['state']> = { delivered: 'signed_out', no_address: 'unaware' };

/** The app's post-logout address with its `state`. Undefined if `uri` is not a URL. */
function withState(uri: string, state: unknown): string | undefined {
  const url = URL.parse(uri);
  if (url && typeof state === 'string') url.searchParams.set('state', state);
  return url?.href;
}

export interface SignOutPagesDeps {
  views: PageViews;
  nameOf: NameOf;
  appOf: AppOf;
  accounts: Pick<Accounts, 'byId'>;
  signedOut: SignedOut;
  /** The apps of an ended session. Resolves once each was notified or its time is over. */
  appsAfterSignOut(sessionUid: string): Promise<{ clientId: string; state: string }[]>;
}

export function signOutPages({
  views,
  nameOf,
  appOf,
  accounts,
  signedOut,
  appsAfterSignOut,
}: SignOutPagesDeps): Pick<Pages, 'logout' | 'loggedOut'> {
  return {
    async logout(ctx, xsrf) {
      const { client, params, session } = ctx.oidc;
      const account = session?.accountId === undefined ? undefined : await accounts.byId(session.accountId);
      const target = String(params?.post_logout_redirect_uri ?? '');
      const html = views.render('logout', {
        action: '/session/end/confirm',
        xsrf,
        username: account?.username,
        clientName: await nameOf(client, target),
        stayUri: (await appOf(client))?.uri ?? withState(target, params?.state),
      });
      showPage(ctx, html, formActionFor(target));
    },
    async loggedOut(ctx) {
      const sessionUid = signedOut.read(ctx);
      const told = sessionUid === undefined ? [] : await appsAfterSignOut(sessionUid);
      // The account page is a client of the provider, but people do not see it as an app.
      const others = told.filter(({ clientId }) => clientId !== accountClientId);
      const apps = await Promise.all(
        others.map(async ({ clientId, state }) => ({
          name: (await nameOf(await ctx.oidc.provider.Client.find(clientId))) ?? clientId,
          state: answers[state] ?? 'silent',
        })),
      );
      showPage(ctx, views.render('logout_done', { clientName: await nameOf(ctx.oidc.client), apps }));
    },
  };
}
