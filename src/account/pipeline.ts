/**
 * What the account page adds to the pipeline of pages: a visitor who is not signed in is redirected to sign in, and
 * only a few actions of one account run concurrently.
 */
import type { Context, Middleware } from 'koa';
import { type Action, createFlow, type Flow, outcomeOf, seeOther } from '../http/flow.ts';
import { contentSecurityPolicy } from '../http/headers.ts';
import type { Views } from '../http/views.ts';
import { AppError } from '../lib/errors.ts';
import { createFewAtOnce } from '../lib/few_at_once.ts';
import type { SignedIn } from '../oidc/session/signed_in.ts';
import { changes } from './change_kinds.ts';
import type { AccountAction, AccountOutcome, AccountTold } from './outcomes.ts';

export interface PipelineDeps {
  signedIn(ctx: Context): Promise<SignedIn | undefined>;
  /** Where a browser is sent to sign in. It returns to /account/signed-in. */
  signInPath: string;
  render<K extends keyof Views>(name: K, view: Views[K]): string;
  sameOriginOnly: Middleware;
  /** Receives the outcome of every action. */
  onOutcome(outcome: AccountOutcome): void;
}

export interface Pipeline extends Flow<AccountAction, SignedIn, AccountTold> {
  show<K extends keyof Views>(ctx: Context, name: K, view: Views[K]): void;
}

/** The actions of a change have the name of the change as the first part of their path, and belong to its page. */
const pageOf = (path: string): string => {
  const change = changes.find((name) => path.startsWith(`/${name}/`));
  return change ? `/account/${change}` : '/account';
};

export function createPipeline(deps: PipelineDeps): Pipeline {
  const { signedIn, signInPath, render, sameOriginOnly, onOutcome } = deps;
  const fewAtOnce = createFewAtOnce();
  const flow = createFlow<AccountAction, SignedIn, AccountTold>({
    prefix: '/account',
    sameOriginOnly,
    async atPage(ctx) {
      const who = await signedIn(ctx);
      if (!who) seeOther(ctx, signInPath);
      return who;
    },
    async atPost(ctx, name) {
      const who = await signedIn(ctx);
      if (who) return who;
      const refused = signedOut();
      onOutcome({ ...outcomeOf(ctx, name, refused), accountId: undefined });
      if (ctx.is('json')) throw refused;
      seeOther(ctx, '/account');
      return undefined;
    },
    pageOf: (_ctx, path) => pageOf(path),
    report: (outcome, { account }, told) => onOutcome({ ...outcome, accountId: account.id, ...told }),
  });

  function action(path: string, action: Action<AccountAction, SignedIn, AccountTold>): void {
    flow.action(path, {
      ...action,
      work: (ctx, who) =>
        fewAtOnce({ accountId: who.account.id, asker: who.sessionUid, isKnown: true }, () =>
          action.work(ctx, who),
        ),
    });
  }

  function show<K extends keyof Views>(ctx: Context, name: K, view: Views[K]): void {
    ctx.type = 'html';
    ctx.set('Content-Security-Policy', contentSecurityPolicy());
    ctx.body = render(name, view);
  }

  return { ...flow, action, show };
}

/** 401: nobody is signed in in this browser. */
export const signedOut = (): AppError =>
  new AppError('sign_in_required', 'You are signed out. Reload this page to sign in.');
