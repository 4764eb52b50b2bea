/**
 * The one renderer of errors: JSON `{error, message, id}` for scripts, a page for people, OAuth's own format from
 * oidc-provider's endpoints. Every answer has an id (X-Request-Id) that is in the log; nothing about the inside leaves.
 */
import type { Context, Middleware } from 'koa';
import { randomId } from '../lib/crypto.ts';
import { AppError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { contentSecurityPolicy, policyAtSites } from './headers.ts';
import type { PageViews } from './views.ts';

const titles: Partial<Record<AppError['code'], string>> = {
  interaction_expired: 'This sign-in has expired',
  too_many_requests: 'Too many attempts',
  too_many_at_once: 'Too many at once',
  sign_in_first: 'Sign in first',
  invitation_required: 'By invitation only',
  invitation_ended: 'This invitation has ended',
  reset_ended: 'This link has ended',
  not_found: 'There is nothing here',
  cross_origin: 'Refused',
  temporarily_unavailable: 'Back in a moment',
  overloaded: 'Very busy just now',
};

/** What a route leaves in `ctx.state` for the page of an error. */
export interface ErrorState {
  /** A proxy shows the answer at the origin of a site, not at ours. */
  atSite?: boolean;
  /** Where the person can go on, if that is known to be a good address. */
  goOn?: { name: string; uri: string };
}

/** Catches what the routes below it throw. */
export function renderErrors(views: PageViews, log: Log, issuer: string): Middleware {
  return async (ctx, next) => {
    const id = randomId(9);
    ctx.state.requestId = id;
    ctx.set('X-Request-Id', id);
    try {
      await next();
      if (ctx.status === 404 && ctx.body == null)
        throw new AppError('not_found', 'This address leads nowhere.');
    } catch (thrown) {
      const error =
        thrown instanceof AppError
          ? thrown
          : new AppError('server_error', 'Something went wrong on our side.', { cause: thrown });
      logError(log, id, ctx, error);
      // What failed half-way must not send what it had prepared: a redirect with a code, the cookie of a session that was
      // not saved in place of the browser's good one.
      ctx.remove('Location');
      ctx.remove('Set-Cookie');
      ctx.status = error.status;
      ctx.set('Cache-Control', 'no-store');
      if (error.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(error.retryAfterSeconds));
      // What is left of a body that was refused for its size is not read; the connection is of no further use.
      if (error.code === 'payload_too_large') ctx.set('Connection', 'close');
      if (wantsPage(ctx)) {
        ctx.type = 'html';
        const { atSite, goOn } = ctx.state as ErrorState;
        ctx.set('Content-Security-Policy', atSite ? policyAtSites(issuer) : contentSecurityPolicy());
        const view = {
          status: error.status,
          title: titles[error.code] ?? (error.status >= 500 ? 'Something went wrong' : 'That did not work'),
          message: error.publicMessage,
          id,
          again: mayWorkAgain(ctx),
          app: goOn,
        };
        ctx.body = views.render('error', view, atSite ? issuer : '');
      } else {
        ctx.body = { error: error.code, message: error.publicMessage, id };
      }
    }
  };
}

/** Whether to offer the same address again: it was only read, and the fault is ours and passing. */
export const mayWorkAgain = ({ method, status }: Context): boolean => method === 'GET' && status >= 500;

function logError(log: Log, id: string, ctx: Context, error: AppError): void {
  // Of a flood each line would cost as much as the refusal: they are counted together where they are refused.
  if (error.code === 'overloaded') return;
  const line = {
    id,
    error: error.code,
    method: ctx.method,
    path: loggedPath(ctx.path),
    status: error.status,
  };
  if (error.status >= 500) log.error({ ...line, cause: error.cause }, error.publicMessage);
  else log.info(line, error.publicMessage);
}

/**
 * The path without what may be a secret. Links that are good once carry their token in it, and are asked for by other methods
 * and with more behind them, too: a part of a path that is long enough to be a token is left out, as is all behind a link's name.
 */
const loggedPath = (path: string): string =>
  path
    .replace(/^(\/+(invitation|authenticator-reset)\b).+/i, '$1/[redacted]')
    .replace(/[^/]{25,}/g, '[redacted]');

/** People's browsers say that they take HTML first; scripts say JSON or nothing. */
export const wantsPage = (ctx: Context): boolean =>
  !ctx.is('json') && ctx.get('accept') !== '' && ctx.accepts('json', 'html') === 'html';
