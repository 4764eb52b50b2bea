/**
 * The account page: a person looks at and changes their own sign-in, at /account. Here are the page itself and what ends
 * access; change_routes.ts has what changes a password or factor.
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
  /** `page`: of the sessions, from 1 on. */
  overview(who: SignedIn, page: number): Promise<Views['account']>;
  access: Omit<Access, 'of'>;
  secureCookies: boolean;
  /** Undefined where apps may not ask from elsewhere. */
  requests: RequestRouteDeps | undefined;
}

/** What stands for no page is the first one. */
const pageOf = (given: unknown): number => (/^[1-9]\d{0,4}$/.test(String(given)) ? Number(given) : 1);

export function createAccountRoutes(deps: AccountRouteDeps): Middleware {
  const { access } = deps;
  const pipeline = createPipeline(deps);
  const { router, page, action, show } = pipeline;
  const cookies = createBrowserCookies(deps.secureCookies);

  page('/', async (ctx, who) => show(ctx, 'account', await deps.overview(who, pageOf(ctx.query.page))));
  router.get('/signed-in', (ctx) => {
    // An error is not answered by another try: that might fail as soon, and go round.
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
      // One that is none of theirs is answered like one that has ended meanwhile: it is not in the list.
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
