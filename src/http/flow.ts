/**
 * The one pipeline of the pages that people go through, and of what these pages post: who asks and where they stand, then the
 * work, then the outcome for metrics and audit log, and the page once more where the person can do something about an error.
 * No route can forget a check. What a page shows and what an action does belongs to the room that mounts it.
 */
import Router from '@koa/router';
import type { Context, Middleware } from 'koa';
import { AppError, type ErrorCode, TooManyFailures } from '../lib/errors.ts';
import { userAgentOf } from './request.ts';

/** How an action ended. */
export interface Outcome<Name extends string> {
  action: Name;
  outcome: 'ok' | ErrorCode;
  address: string;
  /** What the browser calls itself. */
  agent: string;
  /** Which count of failures has refused it. */
  blockedBy: string | undefined;
}

/** What a room adds to the pipeline. `At`: who asks, and where they stand. `Told`: what work adds to its outcome. */
export interface Room<Name extends string, At, Told> {
  /** The path of all its pages. */
  prefix: string;
  sameOriginOnly: Middleware;
  /** Undefined where whoever asks for a page was answered already, as they belong elsewhere. */
  atPage(ctx: Context): Promise<At | undefined>;
  /** The same for somebody who posts. */
  atPost(ctx: Context, name: Name): Promise<At | undefined>;
  /** The page of an action, for whoever opens the action's address. */
  pageOf(ctx: Context, path: string): string;
  /** Is called once for every action. `told` is undefined where it has failed, by `failed`. */
  report(outcome: Outcome<Name>, at: At, told: Told | undefined, failed: unknown): void;
}

/** Something that a page posts. */
export interface Action<Name extends string, At, Told> {
  name: Name;
  /** What stands before the work: limits and admission. */
  before?: Middleware[];
  /** Does it and answers. */
  work(ctx: Context, at: At): Promise<Told>;
  /** Shows the page that posted once more, where a person can do something about the error. False where it cannot. */
  again?(ctx: Context, at: At, error: AppError): Promise<boolean>;
}

export interface Flow<Name extends string, At, Told> {
  router: Router;
  page(path: string, show: (ctx: Context, at: At) => Promise<void>): void;
  action(path: string, action: Action<Name, At, Told>): void;
}

export function createFlow<Name extends string, At, Told>(room: Room<Name, At, Told>): Flow<Name, At, Told> {
  const router = createPageRouter(room.prefix);
  const pages = new Set<string>();

  function page(path: string, show: (ctx: Context, at: At) => Promise<void>): void {
    pages.add(path);
    router.get(path, async (ctx) => {
      const at = await room.atPage(ctx);
      if (at) await show(ctx, at);
    });
  }

  function action(path: string, { name, before = [], work, again }: Action<Name, At, Told>): void {
    if (!pages.has(path)) router.get(path, (ctx) => seeOther(ctx, room.pageOf(ctx, path)));
    router.post(path, room.sameOriginOnly, ...before, async (ctx) => {
      const at = await room.atPost(ctx, name);
      if (!at) return;
      try {
        const told = await work(ctx, at);
        room.report(outcomeOf(ctx, name, undefined), at, told, undefined);
      } catch (error) {
        room.report(outcomeOf(ctx, name, error), at, undefined, error);
        if (!(error instanceof AppError) || !(await again?.(ctx, at, error))) throw error;
        ctx.status = error.status;
        if (error.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(error.retryAfterSeconds));
      }
    });
  }

  return { router, page, action };
}

/** For pages of people: what is answered below this path is kept by no browser. */
export function createPageRouter(prefix: string): Router {
  const router = new Router({ prefix });
  router.use(async (ctx, next) => {
    ctx.set('Cache-Control', 'no-store');
    await next();
  });
  return router;
}

/** `failed`: what was thrown; undefined where all went well. */
export function outcomeOf<Name extends string>(ctx: Context, action: Name, failed: unknown): Outcome<Name> {
  const code = failed instanceof AppError ? failed.code : 'server_error';
  return {
    action,
    outcome: failed === undefined ? 'ok' : code,
    address: ctx.ip,
    agent: userAgentOf(ctx),
    blockedBy: failed instanceof TooManyFailures ? failed.bucket : undefined,
  };
}

/** To a page of this server, which the browser asks for by GET. */
export function seeOther(ctx: Context, path: string): void {
  ctx.redirect(path);
  ctx.status = 303;
}
