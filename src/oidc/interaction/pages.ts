/** The pages that oidc-provider asks for: errors of its endpoints, sign-out and signed out, a device's code, form posts. */
import type { Context } from 'koa';
import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import { moveOn } from '../../http/onward.ts';
import type { PageViews } from '../../http/views.ts';
import type { AppNames } from '../clients/client_names.ts';
import type { FormPost } from '../library/routes/response_modes.ts';
import { devicePages } from './device_pages.ts';
import { errorPage } from './error_page.ts';
import { type AppOf, type NameOf, showPage } from './page.ts';
import { type SignOutPagesDeps, signOutPages } from './sign_out_pages.ts';

export interface Pages {
  error(
    ctx: KoaContextWithOIDC,
    error: { error: string; error_description?: string | undefined },
    cause: Error,
  ): Promise<void>;
  logout(ctx: KoaContextWithOIDC, xsrf: string): Promise<void>;
  loggedOut(ctx: KoaContextWithOIDC): Promise<void>;
  /** Sends the browser on after a form; `target`: where that ends. */
  moveOn(ctx: Context, to: { location: string; target: string }): void;
  formPost: FormPost;
  /** Asks for a device's code; `problem` says why again. */
  userCode(ctx: KoaContextWithOIDC, xsrf: string, problem: Error | undefined): Promise<void>;
  /** Asks whether the device is the person's own. */
  userCodeFound(ctx: KoaContextWithOIDC, xsrf: string, code: FoundUserCode): Promise<void>;
  deviceConnected(ctx: KoaContextWithOIDC): Promise<void>;
}

/** What a person has entered the code of. */
export interface FoundUserCode {
  userCode: string;
  client: Client;
  /** The address that the device asked from. */
  address: string;
}

/** The app that receives a form may send the browser anywhere. */
const anyWebsite = ['https:', 'http:'];

export interface ProviderPagesDeps {
  views: PageViews;
  accounts: SignOutPagesDeps['accounts'];
  signedOut: SignOutPagesDeps['signedOut'];
  nameOf: AppNames;
  /** Where an app's people find it, by what the operator wrote down; undefined where that says nothing. */
  addressOf(clientId: string): Promise<string | undefined>;
  appsAfterSignOut: SignOutPagesDeps['appsAfterSignOut'];
}

export function createProviderPages({ nameOf: nameOfClient, addressOf, ...deps }: ProviderPagesDeps): Pages {
  const { views } = deps;
  const nameOf: NameOf = async (client, answerUri) => client && nameOfClient(client, answerUri);
  /** An error is told whatever else fails: also while the database cannot say where the app is. */
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
