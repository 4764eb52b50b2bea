/**
 * The pages that oidc-provider asks for: endpoint errors, sign-out, the page after it, device codes, and form_post.
 */
import { moveOn } from '../../http/onward.ts';
import type { PageViews } from '../../http/views.ts';
import type { AppNames } from '../clients/client_names.ts';
import { devicePages } from './device_pages.ts';
import { errorPage } from './error_page.ts';
import { type AppOf, type NameOf, type Pages, showPage } from './page.ts';
import { type SignOutPagesDeps, signOutPages } from './sign_out_pages.ts';

/** Browsers also apply `form-action` to redirects, and the app that receives a form may redirect anywhere. */
const anyWebsite = ['https:', 'http:'];

export interface ProviderPagesDeps {
  views: PageViews;
  accounts: SignOutPagesDeps['accounts'];
  signedOut: SignOutPagesDeps['signedOut'];
  nameOf: AppNames;
  /** The address of an app's website, as the operator registered it. */
  addressOf(clientId: string): Promise<string | undefined>;
  appsAfterSignOut: SignOutPagesDeps['appsAfterSignOut'];
}

export function createProviderPages({ nameOf: nameOfClient, addressOf, ...deps }: ProviderPagesDeps): Pages {
  const { views } = deps;
  const nameOf: NameOf = async (client, answerUri) => client && nameOfClient(client, answerUri);
  /** An error page must appear whatever else fails, also if the database cannot be asked for the app's address. */
  const appOf: AppOf = async (client) => {
    const uri = client && (await addressOf(client.clientId).catch(() => undefined));
    return uri === undefined ? undefined : { name: (await nameOf(client)) ?? '', uri };
  };
  return {
    ...errorPage({ views, nameOf, appOf }),
    ...signOutPages({ ...deps, nameOf, appOf }),
    ...devicePages({ views, nameOf }),
    async formPost(ctx, action, fields) {
      const clientName = await nameOf(ctx.oidc.client, action);
      showPage(ctx, views.render('form_post', { action, fields, clientName }), anyWebsite);
    },
    moveOn: (ctx, to) => moveOn(ctx, views.render, to),
  };
}
