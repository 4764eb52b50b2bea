/** Counts requests by route and status, for the metrics. */
import type { Context, Middleware } from 'koa';
import type { Metrics } from './metrics.ts';

/**
 * Must enclose everything that answers. The label is the pattern of a path, not the path: so there are as many labels
 * as the server has routes.
 */
export function countRequests({ observeRequest }: Pick<Metrics, 'observeRequest'>): Middleware {
  return async (ctx, next) => {
    const begun = performance.now();
    await next();
    observeRequest(routeOf(ctx), ctx.status, (performance.now() - begun) / 1000);
  };
}

/** The route as one of the two routers names it: oidc-provider's name, or koa-router's pattern. */
function routeOf(ctx: Context): string {
  const { oidc, _matchedRoute } = ctx as Context & { oidc?: { route?: string }; _matchedRoute?: unknown };
  if (typeof oidc?.route === 'string') return oidc.route;
  if (typeof _matchedRoute === 'string') return _matchedRoute;
  return ctx.path.startsWith('/assets/') && ctx.status < 400 ? 'assets' : 'none';
}
