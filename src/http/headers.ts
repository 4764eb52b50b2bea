/** Security headers of every answer, and the content security policy of pages. */
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import Koa, { type Context, type Middleware } from 'koa';
import helmet from 'koa-helmet';
import { pathOf } from './rate_limit.ts';

/** Everything that an answer carries; pages that need another policy set theirs by `contentSecurityPolicy`. */
export function securityHeaders(issuer: string): Middleware {
  const others = helmetHeaders(issuer);
  return (ctx, next) => {
    for (const [name, value] of others) ctx.res.setHeader(name, value);
    if (mayBePopup(ctx)) ctx.res.removeHeader('Cross-Origin-Opener-Policy');
    // Of whatever sets none: also of the library's pages, which post themselves on by a script whose hash is added to it.
    ctx.res.setHeader('Content-Security-Policy', pagePolicy);
    return next();
  };
}

/** Apps open sign-in and sign-out in a popup and wait for its answer: the policy would part it from its opener for good. */
const mayBePopup = (ctx: Context): boolean => /^\/(auth|interaction|session\/end)(\/|$)/.test(pathOf(ctx));

/** What helmet sets on every answer; it is asked once, for it would say the same each time. */
function helmetHeaders(issuer: string): [name: string, value: string][] {
  const helmeted = helmet({
    contentSecurityPolicy: false,
    strictTransportSecurity: issuer.startsWith('https:')
      ? { maxAge: 63_072_000, includeSubDomains: false }
      : false,
    referrerPolicy: { policy: 'no-referrer' },
    xFrameOptions: { action: 'deny' },
    // Assets and JSON are ours alone; images of clients on the consent page come from elsewhere.
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
 * The policy of a page. Its forms are posted to this server; `formAction` is what else they may lead to, for browsers hold the
 * redirects that follow a form to it too (see onward.ts).
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

/** The policy of a page of ours that a proxy shows at the origin of a site: it runs nothing, and looks as it does at `issuer`. */
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
