/**
 * Commits what a token request uses and stores, in one statement after the last check. oidc-provider marks a code as
 * used in the middle of its checks. A request that is refused later (for its resource, its details, its key, a
 * storage fault) would lose its code. So the models only prepare their writes in the request's scope, and
 * `settleTokenRequest` writes them once the answer is complete. Of several concurrent requests with one code, the
 * statement lets one succeed. A code that was used before ends the tokens of its first use (RFC 6749, section 4.1.2;
 * RFC 9700, section 2.1.1), unless the request is a second click.
 */
import { errors } from 'oidc-provider';
import type { Use } from '../record_store.ts';
import { type RequestScope, scopeOf } from '../request_scope.ts';
import type { Step, StepContext } from './step.ts';

/** The same client presents its code again a moment later, with the same key. It is refused, but no tokens end. */
export class SecondClick extends errors.InvalidGrant {}

/** Adds the commit to the last step of the token endpoint. */
export const settleTokenRequest =
  (step: Step): Step =>
  async (ctx, next) => {
    const scope = scopeOf(ctx);
    if (!scope) throw new Error('a token is issued outside a request');
    try {
      await step(ctx, next);
      sayScope(ctx);
      await commit(scope);
    } catch (error) {
      const { statusCode = 500 } = error as { statusCode?: number };
      if (statusCode < 500 && !(error instanceof SecondClick)) await scope.endUsed?.();
      throw error;
    }
  };

/**
 * The response must have `scope` if it differs from the request (RFC 6749, section 5.1). The library leaves it out if
 * no scope was granted, and clients would take that for all of them.
 */
function sayScope({ body, oidc: { params } }: StepContext): void {
  const asksForNone = params?.grant_type === 'client_credentials' && !params.scope;
  if (!asksForNone) Object.assign(body as object, { scope: '', ...(body as object) });
}

async function commit(scope: RequestScope): Promise<void> {
  const { code, writeRefreshToken } = scope;
  scope.code = undefined;
  scope.writeRefreshToken = undefined;
  const use = code?.use(handOf(scope));
  if (writeRefreshToken)
    Object.assign(scope.ctx.body as object, { refresh_token: await writeRefreshToken(use) });
  else if (use && code && !(await use.run())) {
    const whyNot = await use.whyNot();
    if (whyNot === 'replay') await code.endTokens();
    throw usedBefore(whyNot);
  }
}

/** The refusal of a code that another request has used. */
export const usedBefore = (whyNot: Awaited<ReturnType<Use['whyNot']>>): errors.InvalidGrant =>
  new (whyNot === 'repetition' ? SecondClick : errors.InvalidGrant)(
    'the code was used before, or its session has ended',
  );

/**
 * What identifies the client of a repetition: the key and certificate that its tokens are bound to. The client and
 * the code verifier were already checked. Undefined for a code without a challenge, because then anyone with the code
 * could pass for the client.
 */
function handOf({
  entities: { AuthorizationCode: code, AccessToken: token },
}: RequestScope): string | undefined {
  if (code && code.codeChallenge === undefined) return undefined;
  return [token?.jkt, token?.['x5t#S256']].join(' ');
}
