/** Refuses posts that another site's page makes with this browser's cookies. So no form needs a CSRF field. */
import type { Middleware } from 'koa';
import { AppError } from '../lib/errors.ts';

/**
 * Browsers send Origin and Sec-Fetch-Site with every POST, and no page can forge them. A request with neither comes
 * from a native app, which has only its own cookies. Our pages send no referrer; Chromium then sets a form's Origin
 * to `null`, and Sec-Fetch-Site alone must say that the page is ours. Throws AppError 403 `cross_origin`.
 */
export function sameOriginOnly(issuer: string): Middleware {
  return async (ctx, next) => {
    const origin = ctx.get('origin');
    const site = ctx.get('sec-fetch-site');
    const fromUs = site === 'same-origin' || site === 'none' || site === '';
    const originFits = origin === '' || origin === issuer || (origin === 'null' && site === 'same-origin');
    if (!fromUs || !originFits) {
      throw new AppError('cross_origin', 'This request came from another site and was refused.');
    }
    await next();
  };
}
