/** Security headers of every answer, and the content security policy of pages. */

import type { Context, Middleware, Next } from 'koa';
import helmet from 'koa-helmet';
import { pathOf } from './rate_limit.ts';

/** Everything that an answer carries; pages that need another policy set theirs by `contentSecurityPolicy`. */
export function securityHeaders(issuer: string): Middleware {
  const others = helmetHeaders(issuer);
  return (ctx, next) => {
    for (const [name, value] of others) ctx.res.setHeader(name, value);
    if (mayBePopup(ctx)) ctx.res.removeHeader('Cross-Origin-Opener-Policy');
    return withPolicy(ctx, next);
  };
}

/** Apps open sign-in and sign-out in a popup and wait for its answer: the policy would part it from its opener for good. */
const mayBePopup = (ctx: Context): boolean => /^\/(auth|interaction|session\/end)(\/|$)/.test(pathOf(ctx));

/** What helmet sets on every answer; it is asked once, for it would say the same each time. */
function helmetHeaders(issuer: string): [name: string, value: string][] {
  const headers: [string, string][] = [];
  const res = {
    setHeader: (name: string, value: string) => headers.push([name, value]),
    removeHeader() {},
  };
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
  void helmeted({ req: {}, res } as unknown as Context, async () => {});
  if (headers.length === 0) throw new Error('helmet sets no headers any more');
  return headers;
}

/**
 * The policy of whatever sets none: also of oidc-provider's own pages, which post themselves on by a script whose hash the
 * library adds here. What they post to redirects to an app, so they alone are not held to `form-action`.
 */
async function withPolicy(ctx: Context, next: Next): Promise<void> {
  ctx.res.setHeader('Content-Security-Policy', pagePolicy);
  await next();
  const policy = ctx.response.get('Content-Security-Policy');
  if (policy !== pagePolicy && policy.includes("'sha256-")) {
    ctx.set('Content-Security-Policy', policy.replace(/form-action [^;]*; ?/, ''));
  }
}

/**
 * The policy of a page. Browsers hold a form's redirects to `form-action` too, so a page whose form ends at an app names
 * the app's origin (or the scheme of a native app).
 */
export function contentSecurityPolicy(formTargets: (string | undefined)[] = []): string {
  const targets = formTargets.flatMap((uri) => {
    const url = uri ? URL.parse(uri) : null;
    if (!url) return [];
    return [url.origin === 'null' ? url.protocol : url.origin];
  });
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data: https:",
    "connect-src 'self'",
    "worker-src 'self'",
    ["form-action 'self'", ...new Set(targets)].join(' '),
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

const pagePolicy = contentSecurityPolicy();
