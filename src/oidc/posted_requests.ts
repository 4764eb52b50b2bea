/**
 * POST at the endpoints that must take it beside GET: authorization (OpenID Connect Core, section 3.1.2.1), logout
 * (RP-Initiated Logout, section 2), userinfo (Core, section 5.3.1). oidc-provider takes it only where its session cookie is
 * SameSite=None, which would send the cookie with any site's post. Here the browser is sent on to the same request by GET:
 * with that comes the Lax cookie, so that whoever is signed in stays so. Userinfo has no cookie; its route is the one of
 * GET, and what follows sees the method that it was (for DPoP's `htm`). test/conformance/basic_tokens.test.ts breaks where a
 * release routes otherwise.
 */
import type { Middleware } from 'koa';
import Provider from 'oidc-provider';
import { readForm } from '../http/forms.ts';
import { AppError } from '../lib/errors.ts';

const byGet = new Set(['/auth', '/session/end']);
/** What a request line may hold, with room for cookies: larger requests are pushed (RFC 9126). */
const mostQueryBytes = 8 * 1024;

export const takePostedRequests: Middleware = async (ctx, next) => {
  if (ctx.method !== 'POST') return next();
  if (byGet.has(ctx.path)) {
    const query = new URLSearchParams(await readForm(ctx)).toString();
    if (query.length > mostQueryBytes) throw new AppError('payload_too_large', 'The request is too large.');
    ctx.set('Cache-Control', 'no-store');
    ctx.status = 303;
    ctx.redirect(`${ctx.path}?${query}`);
    return;
  }
  // The library's context exists once it has found the route.
  if (ctx.path === '/me')
    Object.defineProperty(ctx, 'method', { get: () => (Provider.ctx === undefined ? 'GET' : 'POST') });
  return next();
};
