/**
 * What oidc-provider's error handling leaves to be done. A fault of ours (storage away, a bug) goes on to the one renderer
 * of errors instead of leaving as the library's 500, so that a client learns that it may try again; and no cookie of a
 * request that failed reaches the browser, for it may name a session that was never stored.
 */
import type { Middleware } from 'koa';
import type Provider from 'oidc-provider';
import type { errors, KoaContextWithOIDC } from 'oidc-provider';

/** The library's own pages have one inline script, whose hash it adds to this policy. They post to an app or to us. */
const policyOfLibraryPages = "default-src 'none';script-src 'self';base-uri 'none';frame-ancestors 'none'";

/** Stands around the library's middleware. Rethrows what it reports as `server_error`. */
export function surfaceFaults(provider: Provider): Middleware {
  const faults = new WeakMap<object, Error>();
  provider.on('server_error', (ctx: KoaContextWithOIDC, error: Error) => void faults.set(ctx, error));
  provider.on('grant.error', nameGrantNotAllowed);
  return async (ctx, next) => {
    ctx.set('Content-Security-Policy', policyOfLibraryPages);
    try {
      await next();
      const fault = faults.get(ctx);
      if (fault) throw fault;
    } catch (error) {
      ctx.remove('Set-Cookie');
      ctx.body = null;
      throw error;
    }
  };
}

/** RFC 6749, section 5.2, has a name of its own for this error, where the library says `invalid_request`. */
function nameGrantNotAllowed(ctx: KoaContextWithOIDC, error: errors.OIDCProviderError): void {
  if (error.error_description !== 'requested grant type is not allowed for this client') return;
  if (ctx.response.is('json')) ctx.body = { ...(ctx.body as object), error: 'unauthorized_client' };
}
