/**
 * Cross-origin access for pages of any origin: published documents and keys, and registration, which uses no cookies.
 */
import type { Context, Middleware } from 'koa';
import { pathOf } from './rate_limit.ts';

const isOpen = (ctx: Context): boolean => /^\/(\.well-known\/|reg(\/|$))/.test(pathOf(ctx));

/**
 * Answers preflight requests to these paths, and lets pages read their answers, errors included. Browsers may not
 * send credentials: whoever registers or manages an app has a token.
 */
export const openCors: Middleware = (ctx, next) => {
  if (!isOpen(ctx)) return next();
  ctx.vary('Origin');
  ctx.set('Access-Control-Allow-Origin', '*');
  ctx.set('Access-Control-Expose-Headers', 'WWW-Authenticate, Retry-After, X-Request-Id');
  ctx.set('Cross-Origin-Resource-Policy', 'cross-origin');
  if (ctx.method !== 'OPTIONS' || !ctx.get('Access-Control-Request-Method')) return next();
  ctx.set('Access-Control-Allow-Methods', 'GET, POST, PUT, DELETE');
  ctx.set('Access-Control-Allow-Headers', 'Authorization, Content-Type, Accept, MCP-Protocol-Version');
  ctx.set('Access-Control-Max-Age', '3600');
  ctx.status = 204;
  return undefined;
};
