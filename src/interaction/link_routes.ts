/**
 * The way in by a link that somebody was sent: an invitation, or a new authenticator. Opening it changes nothing, as whatever
 * looks links over for a mail program may do so first: the token moves from the address to a cookie, a page explains, and its
 * button leads to the interaction by the authorization endpoint.
 */
import type { Context, Middleware } from 'koa';
import { createPageRouter, seeOther } from '../http/flow.ts';
import { contentSecurityPolicy } from '../http/headers.ts';
import type { LinkCookie } from './link_cookie.ts';

/** Something that was sent by a link, and how its holder goes on. */
export interface Link<Opened extends { token: string }> {
  /** The page's path; the token is what follows it in the link. */
  path: string;
  cookie: Pick<LinkCookie, 'keep'>;
  /** What the link in this browser opens. Throws AppError 403 where it is not good any more. */
  opened(ctx: Context): Promise<Opened>;
  /** The page that explains it. */
  page(opened: Opened): string;
  /** Where the browser goes on; what it has to leave behind is taken away here. */
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
  // Nothing is thrown here, whatever the address holds: it would be in the log.
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
