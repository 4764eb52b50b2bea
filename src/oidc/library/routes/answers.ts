/**
 * What oidc-provider's answers still need before they leave: what the request left to be written, Retry-After, the right
 * name of one error, and no cookie of a request that failed. Stands around the library's middleware.
 */
import type { Middleware } from 'koa';
import type Provider from 'oidc-provider';
import type { errors, KoaContextWithOIDC } from 'oidc-provider';
import { type Statement, together } from '../../../storage/statement.ts';
import { refuseSecondAnswer } from '../models/pushed_request.ts';
import { scopeOf } from '../request_scope.ts';

/** The middleware that goes around those of `provider`. `write` runs one statement. */
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
      // It is marked as used; without the rest of it a repetition is refused before anybody is asked to sign in.
      if (pushed !== undefined && ctx.status < 400)
        await provider.PushedAuthorizationRequest.adapter.destroy(pushed).catch(() => {});
      if (ctx.status < 400 && scope?.isUnsettled) throw new Error('tokens were made of what is still unused');
    } catch (error) {
      ctx.remove('Set-Cookie');
      throw error;
    }
    // The cookie may name a session that was never stored, and would replace one that still is.
    if (ctx.status >= 500) ctx.remove('Set-Cookie');
    // A redirect that was ready when the commit failed leads to a code that was never stored.
    if (ctx.status >= 400) ctx.remove('Location');
    if (ctx.status === 503) ctx.set('Retry-After', '2');
  };
}

/** RFC 6749, section 4.2.2, as token_commit.ts has it for the token endpoint: nothing was granted is told as nothing. */
function sayScope(answer: { access_token?: string; scope?: string } | undefined): void {
  // A device's approval emits the same event, without an answer.
  if (answer?.access_token !== undefined) answer.scope ??= '';
}

/** RFC 6749, section 5.2, has a name of its own for this error, where the library says `invalid_request`. */
function nameGrantNotAllowed(ctx: KoaContextWithOIDC, error: errors.OIDCProviderError): void {
  if (error.error_description !== 'requested grant type is not allowed for this client') return;
  if (ctx.response.is('json')) ctx.body = { ...(ctx.body as object), error: 'unauthorized_client' };
}
