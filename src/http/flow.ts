/**
 * The one pipeline of the pages that people go through, and of what these pages post. It finds out who asks and at
 * which step they are, does the work, reports the outcome for metrics and audit log, and shows the page again if the
 * person can correct the error. So no route can forget a check. The room that mounts a page owns its content and its
 * actions.
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
  /** The User-Agent header. */
  agent: string;
  /** The id of the bucket of failures that refused it. */
  blockedBy: string | undefined;
}

/**
 * What a room adds to the pipeline. `At`: who asks, and at which step they are. `Told`: what an action's work adds to
 * its outcome.
 */
export interface Room<Name extends string, At, Told> {
  /** The path that all its pages begin with. */
  prefix: string;
  sameOriginOnly: Middleware;
  /**
   * Who asks for a page. Undefined if the request was answered already, for example by a redirect to another page.
   */
  atPage(ctx: Context): Promise<At | undefined>;
  /** The same for a POST. */
  atPost(ctx: Context, name: Name): Promise<At | undefined>;
  /** The page to which a GET of the action's address is redirected. */
  pageOf(ctx: Context, path: string): string;
  /**
   * Receives the outcome of every action whose work was begun. If it failed, `failed` is the error and `told` is
   * undefined.
   */
  report(outcome: Outcome<Name>, at: At, told: Told | undefined, failed: unknown): void;
}

/** One action that a page posts. */
export interface Action<Name extends string, At, Told> {
  name: Name;
  /** Handlers that run before the work: limits and admission. */
  before?: Middleware[];
  /** Does the work and answers the request. */
  work(ctx: Context, at: At): Promise<Told>;
  /** Shows the page again if the person can correct the error. Returns false otherwise. */
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

/** A router for pages of people. Browsers store nothing that is answered below `prefix`. */
export function createPageRouter(prefix: string): Router {
  const router = new Router({ prefix });
  router.use(async (ctx, next) => {
    ctx.set('Cache-Control', 'no-store');
    await next();
  });
  return router;
}

/** `failed`: what was thrown; undefined if all went well. */
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

/** Redirects to a page of this server, which the browser then requests by GET. */
export function seeOther(ctx: Context, path: string): void {
  ctx.redirect(path);
  ctx.status = 303;
}
