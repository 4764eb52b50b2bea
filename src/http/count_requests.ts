/** Counts requests by route and status, for the metrics. */
import type { Context, Middleware } from 'koa';
import type { Metrics } from './metrics.ts';

/** Around everything that answers. A route is the pattern of a path, never the path: there are as many as the server has. */
export function countRequests({ observeRequest }: Pick<Metrics, 'observeRequest'>): Middleware {
  return async (ctx, next) => {
    const begun = performance.now();
    await next();
    observeRequest(routeOf(ctx), ctx.status, (performance.now() - begun) / 1000);
  };
}

/** The names that the two routers leave behind: oidc-provider's, and koa-router's patterns. */
function routeOf(ctx: Context): string {
  const { oidc, _matchedRoute } = ctx as Context & { oidc?: { route?: string }; _matchedRoute?: unknown };
  if (typeof oidc?.route === 'string') return oidc.route;
  if (typeof _matchedRoute === 'string') return _matchedRoute;
  return ctx.path.startsWith('/assets/') && ctx.status < 400 ? 'assets' : 'none';
}
