/**
 * Renders all errors: as JSON `{error, message, id}` for scripts, as a page for people. oidc-provider's endpoints
 * render OAuth's own format themselves. Every answer has an id (X-Request-Id) that is also in the log. No answer
 * shows internals.
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

/** What a route leaves in `ctx.state` for the error page. */
export interface ErrorState {
  /** A proxy shows the answer at the origin of a site, not at the issuer's. */
  atSite?: boolean;
  /** Where the person can continue. Only an address that is known to be safe. */
  goOn?: { name: string; uri: string };
}

/** Catches and renders what the routes below it throw. */
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
      // A request that failed must not send headers that it had prepared: a redirect with a code, or the cookie of a
      // session that was not saved, which would replace the browser's valid one.
      ctx.remove('Location');
      ctx.remove('Set-Cookie');
      ctx.status = error.status;
      ctx.set('Cache-Control', 'no-store');
      if (error.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(error.retryAfterSeconds));
      // The rest of a body that is too large is not read, so the connection cannot be used again.
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
          retryAfterSeconds: error.status === 429 ? error.retryAfterSeconds : undefined,
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

/** Whether to offer the same address again: the request only read, and the fault is on this server and may pass. */
export const mayWorkAgain = ({ method, status }: Context): boolean => method === 'GET' && status >= 500;

function logError(log: Log, id: string, ctx: Context, error: AppError): void {
  // In a flood, logging each line would cost as much as the refusal. These refusals are counted and logged together.
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
 * The path without parts that may be secret. Links that work once carry their token in the path. They may be
 * requested with any method and with more text behind the token. So any part that is long enough to be a token is
 * left out, and so is everything behind the name of such a link.
 */
const loggedPath = (path: string): string =>
  path
    .replace(/^(\/+(invitation|authenticator-reset)\b).+/i, '$1/[redacted]')
    .replace(/[^/]{25,}/g, '[redacted]');

/** Browsers ask for HTML first. Scripts ask for JSON or for nothing. */
export const wantsPage = (ctx: Context): boolean =>
  !ctx.is('json') && ctx.get('accept') !== '' && ctx.accepts('json', 'html') === 'html';
