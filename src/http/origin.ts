/** Refuses posts that another site's page makes with this browser's cookies; so that no form needs a CSRF field. */
import type { Middleware } from 'koa';
import { AppError } from '../lib/errors.ts';

/**
 * Browsers send Origin and Sec-Fetch-Site with every POST and no page can forge them. A request with neither comes from a
 * native app, which has no cookies but its own.
 */
export function sameOriginOnly(issuer: string): Middleware {
  return async (ctx, next) => {
    if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
      const origin = ctx.get('origin');
      const site = ctx.get('sec-fetch-site');
      if (
        (origin !== '' && origin !== issuer) ||
        (site !== '' && site !== 'same-origin' && site !== 'none')
      ) {
        throw new AppError('cross_origin', 'This request came from another site and was refused.');
      }
    }
    await next();
  };
}
