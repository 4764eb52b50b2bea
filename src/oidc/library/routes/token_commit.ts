/**
 * What a token request uses up and what it stores, as one commit after every check. oidc-provider uses a code up in the
 * middle of its checks: a request that it refused afterwards (for its resource, its details, its key, a fault of the storage)
 * would have lost it. The models only keep in the request's scope what they want to write, and `settleTokenRequest` writes
 * it once the answer is complete. Of parallel presentations the statement lets one through. A code that was used before ends
 * what came of its first use (RFC 6749, section 4.1.2; RFC 9700, section 2.1.1), unless it is a second click.
 */
import { errors } from 'oidc-provider';
import type { Use } from '../record_store.ts';
import { type RequestScope, scopeOf } from '../request_scope.ts';
import type { Step, StepContext } from './step.ts';

/** A code that is presented once more by the same client with the same key: refused, and nothing ends. */
export class SecondClick extends errors.InvalidGrant {}

/** The last step of the token endpoint, with its commit. */
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
 * RFC 6749, section 5.1: `scope` is said wherever it is not what was asked for. The library says nothing where nothing of it
 * was granted, which would read as if all of it had been.
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

/** The refusal of a code that was used by another request. */
export const usedBefore = (whyNot: Awaited<ReturnType<Use['whyNot']>>): errors.InvalidGrant =>
  new (whyNot === 'repetition' ? SecondClick : errors.InvalidGrant)(
    'the code was used before, or its session has ended',
  );

/**
 * By what a repetition is known to come from the same client: the key that its tokens are bound to, beside the client and the
 * verifier, which were checked. Undefined where nothing tells: a code without a challenge has no verifier.
 */
function handOf({
  entities: { AuthorizationCode: code, AccessToken: token },
}: RequestScope): string | undefined {
  if (code && code.codeChallenge === undefined) return undefined;
  return [token?.jkt, token?.['x5t#S256']].join(' ');
}
