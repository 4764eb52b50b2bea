/**
 * The account page, at /account: a person looks at their own sign-in and changes it. This file mounts the page itself
 * and the actions that end access. The changes of password and factors, and the answers to requests, have files of
 * their own.
 */
import type { Middleware } from 'koa';
import { seeOther } from '../http/flow.ts';
import { bodies, readBody } from '../http/forms.ts';
import type { Views } from '../http/views.ts';
import { AppError } from '../lib/errors.ts';
import type { SignedIn } from '../oidc/session/signed_in.ts';
import type { Access } from './access.ts';
import { createBrowserCookies } from './browser_cookies.ts';
import { type ChangeRouteDeps, mountChanges } from './change_routes.ts';
import { createPipeline, type PipelineDeps } from './pipeline.ts';
import { mountRequests, type RequestRouteDeps } from './request_routes.ts';

export interface AccountRouteDeps extends PipelineDeps, Omit<ChangeRouteDeps, 'cookies'> {
  /** `page`: of the sessions, numbered from 1. */
  overview(who: SignedIn, page: number): Promise<Views['account']>;
  access: Omit<Access, 'of'>;
  secureCookies: boolean;
  /** Undefined if apps may not send such requests (CIBA). */
  requests: RequestRouteDeps | undefined;
}

/** Anything that is not a page number means the first page. */
const pageOf = (given: unknown): number => (/^[1-9]\d{0,4}$/.test(String(given)) ? Number(given) : 1);

export function createAccountRoutes(deps: AccountRouteDeps): Middleware {
  const { access } = deps;
  const pipeline = createPipeline(deps);
  const { router, page, action, show } = pipeline;
  const cookies = createBrowserCookies(deps.secureCookies);

  page('/', async (ctx, who) => show(ctx, 'account', await deps.overview(who, pageOf(ctx.query.page))));
  router.get('/signed-in', (ctx) => {
    // Do not send the browser to sign in again here: that might fail in the same way, in an endless loop.
    if (ctx.query.error !== undefined)
      throw new AppError('invalid_request', 'The sign-in was not completed. Open your account page again.');
    seeOther(ctx, '/account');
  });
  router.get('/signed-out', async (ctx) => {
    if (await deps.signedIn(ctx)) seeOther(ctx, '/account');
    else show(ctx, 'account_signed_out', {});
  });

  action('/sessions/end', {
    name: 'sessions/end',
    async work(ctx, { account, sessionUid }) {
      const { session } = await readBody(ctx, bodies.session);
      // A session that is not theirs is answered like one that has just ended: it is not in the list.
      const ended = await access.endSession(account.id, session);
      const own = ended && session === sessionUid;
      if (own) cookies.dropSession(ctx);
      seeOther(ctx, own ? '/account/signed-out' : '/account');
      return { detail: { ended }, nothingDone: !ended };
    },
  });
  action('/sessions/end-all', {
    name: 'sessions/end-all',
    async work(ctx, { account }) {
      await access.endEverything(account.id, ctx.ip);
      cookies.dropSession(ctx);
      seeOther(ctx, '/account/signed-out');
      return {};
    },
  });
  action('/apps/remove', {
    name: 'apps/remove',
    async work(ctx, { account }) {
      const { client } = await readBody(ctx, bodies.client);
      const removed = await access.removeApp(account.id, client);
      seeOther(ctx, '/account');
      return { clientId: client, detail: { removed }, nothingDone: !removed };
    },
  });

  mountChanges(pipeline, { ...deps, cookies });
  if (deps.requests) mountRequests(pipeline, cookies, deps.requests);
  return router.routes() as Middleware;
}
