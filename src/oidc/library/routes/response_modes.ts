/**
 * Override of oidc-provider's response modes.
 *
 * - Its form_post page submits itself with an inline script. Ours uses a script file, and has a button for browsers
 *   without scripts.
 * - Its redirects parse the app's address and write it again, so `?next=a%20b` becomes `?next=a+b`. Ours keep every
 *   byte and only append.
 * - The JARM modes are made here too, because the library builds its JARM modes from its own plain ones.
 *
 * test/http/provider_internals.test.ts fails if a release registers modes in another way.
 */
import type { Context } from 'koa';
import Provider, { type KoaContextWithOIDC } from 'oidc-provider';

import { signAnswer } from '../models/id_token.ts';

type Handler = Parameters<Provider['registerResponseMode']>[1];
type Redirect = (ctx: KoaContextWithOIDC, uri: string, answer: object) => void | Promise<void>;

/** A page that posts `fields` to `action`, an app's redirect URI. */
export type FormPost = (ctx: KoaContextWithOIDC, action: string, fields: [string, string][]) => Promise<void>;

/** A subclass of oidc-provider's Provider with our response modes. `formPost` shows the page of form_post. */
export function providerWithFormPost(formPost: FormPost): typeof Provider {
  const post = (ctx: KoaContextWithOIDC, action: string, answer: object): Promise<void> => {
    // The page itself is a success, even if it carries an error to the app.
    ctx.status = 200;
    return formPost(
      ctx,
      action,
      Object.entries(answer).map(([name, value]) => [name, String(value)]),
    );
  };
  const redirect =
    (to: typeof withParameters): Redirect =>
    (ctx, uri, answer) =>
      seeOther(ctx, to(uri, answer));
  const query = redirect(withParameters);
  const fragment = redirect((uri, answer) => `${uri}#${formOf(answer)}`);
  const signed =
    (mode: (ctx: KoaContextWithOIDC) => Redirect): Handler =>
    async (ctx, uri, answer) =>
      mode(ctx)(ctx, uri, { response: await signAnswer(ctx, answer) });
  const handlers: Record<string, Handler> = {
    form_post: post,
    query,
    fragment,
    'form_post.jwt': signed(() => post),
    'query.jwt': signed(() => query),
    'fragment.jwt': signed(() => fragment),
    // Chosen by the response type (JARM, section 2.3.4).
    jwt: signed((ctx) => (String(ctx.oidc.params?.response_type).includes('token') ? fragment : query)),
  };
  return class extends Provider {
    /** Replaces the library's modes as its constructor registers them. */
    override registerResponseMode(name: string, handler: Handler): void {
      super.registerResponseMode(name, handlers[name] ?? handler);
    }
  };
}

const formOf = (answer: object): string =>
  new URLSearchParams(
    Object.entries(answer).map(([name, value]): [string, string] => [name, String(value)]),
  ).toString();

/** Appends the parameters to the query of `uri`, and leaves every byte of `uri` as it is. */
export function withParameters(uri: string, parameters: object): string {
  const form = formOf(parameters);
  if (form === '') return uri;
  if (!uri.includes('?')) return `${uri}?${form}`;
  return /[?&]$/.test(uri) ? `${uri}${form}` : `${uri}&${form}`;
}

/** Redirects (303) to exactly this address. Koa's own redirect would parse it and write it again. */
export function seeOther(ctx: Context, uri: string): void {
  ctx.status = 303;
  // A header cannot contain other characters. A browser encodes them in the same way.
  ctx.set('Location', uri.replace(/[^\x21-\x7E]+/g, encodeURIComponent));
  ctx.body = '';
}
