/**
 * Completes oidc-provider's answers before they are sent. It writes what the request has left to write, adds
 * Retry-After, corrects the name of one error, and removes the cookies of a failed request. It encloses the library's
 * middleware.
 */
import type { Middleware } from 'koa';
import type Provider from 'oidc-provider';
import type { errors, KoaContextWithOIDC } from 'oidc-provider';
import { type Statement, together } from '../../../storage/statement.ts';
import { refuseSecondAnswer } from '../models/pushed_request.ts';
import { scopeOf } from '../request_scope.ts';

/** Makes the middleware that encloses the middleware of `provider`. `write` runs one statement. */
export function completeAnswers(
  provider: Provider,
  write: (statement: Statement) => Promise<unknown>,
): Middleware {
  provider.on('grant.error', nameGrantNotAllowed);
  provider.on('authorization.success', (_ctx, answer) => sayScope(answer));
  return async (ctx, next) => {
    try {
      await next();
      const scope = scopeOf(ctx);
      const statements = scope?.takeGathered() ?? [];
      const last = statements.pop();
      if (last) await write(together(statements, last)).catch(refuseSecondAnswer);
      const pushed = scope?.answeredPush;
      // The pushed request is already marked as used. Deleting it makes a repetition fail before the person signs in.
      if (pushed !== undefined && ctx.status < 400)
        await provider.PushedAuthorizationRequest.adapter.destroy(pushed).catch(() => {});
      if (ctx.status < 400 && scope?.isUnsettled) throw new Error('tokens were made of what is still unused');
    } catch (error) {
      ctx.remove('Set-Cookie');
      throw error;
    }
    // The cookie may name a session that was never stored, and would replace that of a stored one.
    if (ctx.status >= 500) ctx.remove('Set-Cookie');
    // If the commit has failed, the prepared redirect contains a code that was never stored.
    if (ctx.status >= 400) ctx.remove('Location');
    if (ctx.status === 503) ctx.set('Retry-After', '2');
  };
}

/**
 * If no scope was granted, the authorization response says so with an empty `scope` (RFC 6749, section 4.2.2). The
 * library leaves the field out, which would mean that everything requested was granted.
 */
function sayScope(answer: { access_token?: string; scope?: string } | undefined): void {
  // A device's approval emits the same event, without an answer.
  if (answer?.access_token !== undefined) answer.scope ??= '';
}

/** Names this error `unauthorized_client`, as RFC 6749, section 5.2, does. The library says `invalid_request`. */
function nameGrantNotAllowed(ctx: KoaContextWithOIDC, error: errors.OIDCProviderError): void {
  if (error.error_description !== 'requested grant type is not allowed for this client') return;
  if (ctx.response.is('json')) ctx.body = { ...(ctx.body as object), error: 'unauthorized_client' };
}
