/**
 * Override of oidc-provider's response modes. Its form_post page posts itself on by an inline script; ours has a script of
 * its own file and a button for browsers without. Its redirects parse an app's address and write it anew, so that
 * `?next=a%20b` arrives as `?next=a+b`; ours keep each byte and add to it. The modes of JARM are made here too, because
 * the library makes them with its own of these. test/http/provider_internals.test.ts breaks where a release registers
 * modes otherwise.
 */
import type { Context } from 'koa';
import Provider, { type KoaContextWithOIDC } from 'oidc-provider';

import { signAnswer } from '../models/id_token.ts';

type Handler = Parameters<Provider['registerResponseMode']>[1];
type Redirect = (ctx: KoaContextWithOIDC, uri: string, answer: object) => void | Promise<void>;

/** A page that posts `fields` to `action`, an app's redirect URI. */
export type FormPost = (ctx: KoaContextWithOIDC, action: string, fields: [string, string][]) => Promise<void>;

/** oidc-provider, whose form_post answers are the page that `formPost` shows. */
export function providerWithFormPost(formPost: FormPost): typeof Provider {
  const post = (ctx: KoaContextWithOIDC, action: string, answer: object): Promise<void> => {
    // A page that is shown has been answered, whatever the answer to the app says.
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
    // By the response type (JARM, section 2.3.4).
    jwt: signed((ctx) => (String(ctx.oidc.params?.response_type).includes('token') ? fragment : query)),
  };
  return class extends Provider {
    /** Called by the library's constructor for its own modes. */
    override registerResponseMode(name: string, handler: Handler): void {
      super.registerResponseMode(name, handlers[name] ?? handler);
    }
  };
}

const formOf = (answer: object): string =>
  new URLSearchParams(
    Object.entries(answer).map(([name, value]): [string, string] => [name, String(value)]),
  ).toString();

/** `uri` as it is, with these parameters behind its own. */
export function withParameters(uri: string, parameters: object): string {
  const form = formOf(parameters);
  if (form === '') return uri;
  if (!uri.includes('?')) return `${uri}?${form}`;
  return /[?&]$/.test(uri) ? `${uri}${form}` : `${uri}&${form}`;
}

/** Sends the browser to exactly this address; Koa's own redirect would write it anew. */
export function seeOther(ctx: Context, uri: string): void {
  ctx.status = 303;
  // A header holds no others; one that was registered with them stands for what a browser makes of it.
  ctx.set('Location', uri.replace(/[^\x21-\x7E]+/g, encodeURIComponent));
  ctx.body = '';
}
