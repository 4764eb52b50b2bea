/**
 * What every route of the account page goes through: `page` (who is signed in here, or off to the sign-in) and `action`
 * (origin, who, told to log and metrics), so that none can forget a check. Nothing here is kept by a browser.
 */
import Router from '@koa/router';
import type { Context, Middleware } from 'koa';
import { contentSecurityPolicy } from '../http/headers.ts';
import { userAgentOf } from '../http/request.ts';
import type { Views } from '../http/views.ts';
import { AppError, TooManyFailures } from '../lib/errors.ts';
import { createFewAtOnce } from '../lib/few_at_once.ts';
import type { SignedIn } from '../oidc/session/signed_in.ts';
import type { AccountAction, AccountOutcome } from './outcomes.ts';

export interface PipelineDeps {
  signedIn(ctx: Context): Promise<SignedIn | undefined>;
  /** Where a browser is sent to sign in; it comes back to /account/signed-in. */
  signInPath: string;
  render<K extends keyof Views>(name: K, view: Views[K]): string;
  sameOriginOnly: Middleware;
  onOutcome(outcome: AccountOutcome): void;
}

/** What the work of an action adds to its outcome: of which app, with what detail. */
export type Told = Pick<AccountOutcome, 'clientId' | 'detail' | 'nothingDone'>;

export interface Action {
  name: AccountAction;
  work(ctx: Context, who: SignedIn): Promise<Told | undefined>;
  /** Shows the page that posted once more, where a person can do something about the error. False where it cannot. */
  again?(ctx: Context, who: SignedIn, error: AppError): Promise<boolean>;
  before?: Middleware[];
}

export type Pipeline = ReturnType<typeof createPipeline>;

export function createPipeline({ signedIn, signInPath, render, sameOriginOnly, onOutcome }: PipelineDeps) {
  const router = new Router({ prefix: '/account' });
  const fewAtOnce = createFewAtOnce();
  router.use(async (ctx, next) => {
    ctx.set('Cache-Control', 'no-store');
    await next();
  });

  function show<K extends keyof Views>(ctx: Context, name: K, view: Views[K]): void {
    ctx.type = 'html';
    ctx.set('Content-Security-Policy', contentSecurityPolicy());
    ctx.body = render(name, view);
  }

  function seeOther(ctx: Context, path: string): void {
    ctx.redirect(path);
    ctx.status = 303;
  }

  const pages = new Set<string>();
  /** The page of the change that an action is part of, or else the account page. */
  const pageOf = (path: string): string => {
    const [, change = ''] = path.split('/');
    return pages.has(`/${change}`) ? `/account/${change}` : '/account';
  };

  function page(path: string, work: (ctx: Context, who: SignedIn) => Promise<void>): void {
    pages.add(path);
    router.get(path, async (ctx) => {
      const who = await signedIn(ctx);
      if (who) await work(ctx, who);
      else seeOther(ctx, signInPath);
    });
  }

  function action(path: string, { name, work, again, before = [] }: Action): void {
    // Whoever opens the address of an action is led to the page that it belongs to.
    if (!pages.has(path)) router.get(path, (ctx) => seeOther(ctx, pageOf(path)));
    router.post(path, sameOriginOnly, ...before, async (ctx) => {
      const who = await signedIn(ctx);
      const told = (outcome: AccountOutcome['outcome'], more?: Told & Pick<AccountOutcome, 'blockedBy'>) =>
        onOutcome({
          action: name,
          outcome,
          accountId: who?.account.id,
          address: ctx.ip,
          agent: userAgentOf(ctx),
          ...more,
        });
      if (!who) {
        told('sign_in_required');
        if (ctx.is('json'))
          throw new AppError('sign_in_required', 'You are signed out. Reload this page to sign in.');
        return seeOther(ctx, '/account');
      }
      try {
        const of = { accountId: who.account.id, asker: who.sessionUid, isKnown: true };
        told('ok', await fewAtOnce(of, () => work(ctx, who)));
      } catch (error) {
        const blockedBy = error instanceof TooManyFailures ? error.bucket : undefined;
        told(error instanceof AppError ? error.code : 'server_error', { blockedBy });
        if (!(error instanceof AppError) || !(await again?.(ctx, who, error))) throw error;
        ctx.status = error.status;
        if (error.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(error.retryAfterSeconds));
      }
    });
  }

  return { router, signedIn, show, seeOther, page, action };
}
