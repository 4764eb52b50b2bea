/** Security headers of every answer, and the content security policy of pages. */
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import Koa, { type Context, type Middleware } from 'koa';
import helmet from 'koa-helmet';
import { pathOf } from './rate_limit.ts';

/**
 * Sets the headers that every answer carries. A page that needs another policy sets its own, by
 * `contentSecurityPolicy`.
 */
export function securityHeaders(issuer: string): Middleware {
  const others = helmetHeaders(issuer);
  return (ctx, next) => {
    for (const [name, value] of others) ctx.res.setHeader(name, value);
    if (mayBePopup(ctx)) ctx.res.removeHeader('Cross-Origin-Opener-Policy');
    // The default policy. The library's own pages have it too: the library adds the hash of its script, which posts a
    // form.
    ctx.res.setHeader('Content-Security-Policy', pagePolicy);
    return next();
  };
}

/**
 * Apps may open sign-in and sign-out in a popup and wait for its answer. This header would cut the popup off from the
 * page that opened it.
 */
const mayBePopup = (ctx: Context): boolean => /^\/(auth|interaction|session\/end)(\/|$)/.test(pathOf(ctx));

/** The headers that helmet sets. They are the same for every answer, so helmet runs only once. */
function helmetHeaders(issuer: string): [name: string, value: string][] {
  const helmeted = helmet({
    contentSecurityPolicy: false,
    strictTransportSecurity: issuer.startsWith('https:')
      ? { maxAge: 63_072_000, includeSubDomains: false }
      : false,
    referrerPolicy: { policy: 'no-referrer' },
    xFrameOptions: { action: 'deny' },
    // Off, because the consent page shows images of clients, which come from other origins.
    crossOriginEmbedderPolicy: false,
    crossOriginResourcePolicy: { policy: 'same-origin' },
    crossOriginOpenerPolicy: { policy: 'same-origin' },
  });
  const headers: [string, string][] = [];
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  response.setHeader = (name, value) => {
    headers.push([name, String(value)]);
    return response;
  };
  void helmeted(new Koa().createContext(request, response), async () => {});
  if (headers.length === 0) throw new Error('helmet sets no headers any more');
  return headers;
}

/**
 * The policy of a page, whose forms are posted to this server. `formAction`: further addresses that they may lead to,
 * because browsers apply this directive to the redirects that follow a form too (see `moveOn`).
 */
export function contentSecurityPolicy(formAction: readonly string[] = []): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data: https:",
    "connect-src 'self'",
    "worker-src 'self'",
    ["form-action 'self'", ...formAction].join(' '),
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

/**
 * The policy of a page of this server that a proxy shows at a site's origin: it runs no script, and loads its style
 * from `issuer`.
 */
export const policyAtSites = (issuer: string): string =>
  [
    "default-src 'none'",
    `style-src ${issuer}`,
    `img-src ${issuer} data:`,
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');

const pagePolicy = contentSecurityPolicy();
