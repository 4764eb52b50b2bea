/**
 * The way in by an invitation's link. Opening it changes nothing, as whatever looks links over for a mail program may do so
 * first: the token moves from the address to a cookie, a page explains, and its button leads to the sign-up by the
 * authorization endpoint.
 */
import Router from '@koa/router';
import type { Context, Middleware } from 'koa';
import { contentSecurityPolicy } from '../http/headers.ts';
import type { Views } from '../http/views.ts';
import { invitationEnded } from '../lib/errors.ts';
import type { Invited, OpenedInvitation } from './invited.ts';

export interface InvitationRouteDeps {
  invited: Pick<Invited, 'keep' | 'invitation'>;
  render(name: 'invitation', view: Views['invitation']): string;
  /** Where a sign-up begins that ends at the account page. */
  signUpPath: string;
  sameOriginOnly: Middleware;
}

export function createInvitationRoutes(deps: InvitationRouteDeps): Middleware {
  const { invited, render, signUpPath } = deps;
  const router = new Router({ prefix: '/invitation' });

  async function opened(ctx: Context): Promise<OpenedInvitation> {
    const invitation = await invited.invitation(ctx);
    if (!invitation) throw invitationEnded();
    return invitation;
  }
  function seeOther(ctx: Context, path: string): void {
    ctx.redirect(path);
    ctx.status = 303;
  }

  router.use(async (ctx, next) => {
    ctx.set('Cache-Control', 'no-store');
    await next();
  });
  router.get('/', async (ctx) => {
    const { username, expiresAt } = await opened(ctx);
    ctx.type = 'html';
    ctx.set('Content-Security-Policy', contentSecurityPolicy());
    ctx.body = render('invitation', { username, expires: expiresAt.toISOString() });
  });
  // Nothing is thrown here, whatever the address holds: it would be in the log.
  router.get('/:token', (ctx) => {
    const token = String(ctx.params.token);
    invited.keep(ctx, '/invitation', /^[\w-]{43}$/.test(token) ? token : undefined);
    seeOther(ctx, '/invitation');
  });
  router.post('/', deps.sameOriginOnly, async (ctx) => {
    const { token } = await opened(ctx);
    invited.keep(ctx, '/interaction', token);
    seeOther(ctx, signUpPath);
  });

  return router.routes() as Middleware;
}
