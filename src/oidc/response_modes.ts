/**
 * Override of oidc-provider's form_post response modes: the library's page posts itself on by an inline script. Ours has
 * a script of its own file and a button for browsers without. form_post.jwt (JARM) is made here too, because the library
 * makes it with its own form_post. test/http/provider_internals.test.ts breaks where a release registers modes otherwise.
 */
import Provider, { type KoaContextWithOIDC } from 'oidc-provider';

type Handler = Parameters<Provider['registerResponseMode']>[1];

/** A page that posts `fields` to `action`, an app's redirect URI. */
export type FormPost = (ctx: KoaContextWithOIDC, action: string, fields: [string, string][]) => void;

interface JwtMaker {
  new (available: object, options: object): { extra: object; issue(options: object): Promise<string> };
}

/** oidc-provider, whose form_post answers are the page that `formPost` shows. */
export function providerWithFormPost(formPost: FormPost): typeof Provider {
  const post = (ctx: KoaContextWithOIDC, action: string, answer: object): void => {
    // A page that is shown has been answered, whatever the answer to the app says.
    ctx.status = 200;
    formPost(
      ctx,
      action,
      Object.entries(answer).map(([name, value]) => [name, String(value)]),
    );
  };
  const handlers: Record<string, Handler> = {
    form_post: post,
    async 'form_post.jwt'(ctx, action, answer) {
      const IdToken = ctx.oidc.provider.IdToken as unknown as JwtMaker;
      const token = new IdToken({}, { ctx });
      token.extra = answer;
      post(ctx, action, { response: await token.issue({ use: 'authorization' }) });
    },
  };
  return class extends Provider {
    /** Called by the library's constructor for its own modes. */
    override registerResponseMode(name: string, handler: Handler): void {
      super.registerResponseMode(name, handlers[name] ?? handler);
    }
  };
}
