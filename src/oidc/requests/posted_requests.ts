/**
 * POST at the endpoints that must take it beside GET: authorization (OpenID Connect Core, section 3.1.2.1) and logout
 * (RP-Initiated Logout, section 2). oidc-provider takes it only where its session cookie is SameSite=None, which would send
 * the cookie with any site's post. Here the browser is sent on to the same request by GET: with that comes the Lax cookie,
 * so that whoever is signed in stays so.
 */
import type { Middleware } from 'koa';
import { readForm } from '../../http/forms.ts';
import { pathOf } from '../../http/rate_limit.ts';
import { AppError } from '../../lib/errors.ts';
import { mostParameterCharacters } from './parameter_size.ts';

const paths = new Set(['/auth', '/session/end']);
export const takePostedRequests: Middleware = async (ctx, next) => {
  if (ctx.method !== 'POST' || !paths.has(pathOf(ctx))) return next();
  // Parsed and written anew: nothing but parameters reaches the header, and one that is given twice stays so.
  const query = new URLSearchParams(await readForm(ctx)).toString();
  if (query.length > mostParameterCharacters)
    throw new AppError('payload_too_large', 'The request is too large.');
  ctx.set('Cache-Control', 'no-store');
  ctx.status = 303;
  ctx.redirect(`${pathOf(ctx)}?${query}`);
};
