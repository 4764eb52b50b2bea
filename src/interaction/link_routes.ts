/**
 * The routes of a link that somebody was sent: an invitation, or the replacement of an authenticator. Opening the
 * link changes nothing, because a mail program may open it first to check it. The token moves from the address to a
 * cookie, and a page explains the link. Its button leads to the interaction, by the authorization endpoint.
 */
import type { Context, Middleware } from 'koa';
import { createPageRouter, seeOther } from '../http/flow.ts';
import { contentSecurityPolicy } from '../http/headers.ts';
import type { LinkCookie } from './link_cookie.ts';

/** A kind of link, and how its holder continues. */
export interface Link<Opened extends { token: string }> {
  /** The page's path. In the link, the token follows it. */
  path: string;
  cookie: Pick<LinkCookie, 'keep'>;
  /** What the link in this browser opens. Throws AppError 403 if the link is not valid any more. */
  opened(ctx: Context): Promise<Opened>;
  /** The page that explains it. */
  page(opened: Opened): string;
  /** Returns where the browser goes next. Here the link may also remove what the browser must not take along. */
  next(ctx: Context, opened: Opened): Promise<string>;
}

export function createLinkRoutes<Opened extends { token: string }>(
  { path, cookie, opened, page, next: nextPath }: Link<Opened>,
  sameOriginOnly: Middleware,
): Middleware {
  const router = createPageRouter(path);

  router.get('/', async (ctx) => {
    const link = await opened(ctx);
    ctx.type = 'html';
    ctx.set('Content-Security-Policy', contentSecurityPolicy());
    ctx.body = page(link);
  });
  // Never throws, whatever the address holds: an error would write the address to the log.
  router.get('/:token', (ctx) => {
    const token = String(ctx.params.token);
    cookie.keep(ctx, path, /^[\w-]{43}$/.test(token) ? token : undefined);
    seeOther(ctx, path);
  });
  router.post('/', sameOriginOnly, async (ctx) => {
    const link = await opened(ctx);
    cookie.keep(ctx, '/interaction', link.token);
    seeOther(ctx, await nextPath(ctx, link));
  });

  return router.routes() as Middleware;
}
