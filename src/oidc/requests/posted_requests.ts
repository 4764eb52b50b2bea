/**
 * POST at the endpoints that must accept it besides GET: authorization (OpenID Connect Core, section 3.1.2.1) and
 * logout (RP-Initiated Logout, section 2). oidc-provider accepts it only if its session cookie is SameSite=None, and
 * then browsers send the cookie with every site's POST. Here the browser is redirected to the same request by GET.
 * With that it sends the Lax cookie, so a person who is signed in is recognized.
 */
import type { Context, Middleware } from 'koa';
import { readForm } from '../../http/forms.ts';
import { pathOf } from '../../http/rate_limit.ts';
import { AppError } from '../../lib/errors.ts';
import { mostParameterCharacters } from './parameter_size.ts';

const paths = new Set(['/auth', '/session/end']);
/** Middleware that redirects such a POST (303). Throws AppError 413 if the request is too large for a header. */
export const takePostedRequests: Middleware = (ctx, next) =>
  ctx.method === 'POST' && paths.has(pathOf(ctx)) ? redirectToGet(ctx) : next();

async function redirectToGet(ctx: Context): Promise<void> {
  // Parse and serialize the form, so that nothing but parameters reaches the header. Repeated parameters are kept.
  const query = new URLSearchParams(await readForm(ctx)).toString();
  if (query.length > mostParameterCharacters)
    throw new AppError('payload_too_large', 'The request is too large.');
  ctx.set('Cache-Control', 'no-store');
  ctx.status = 303;
  ctx.redirect(`${pathOf(ctx)}?${query}`);
}
