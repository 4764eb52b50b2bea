/**
 * What a token request uses up and what it stores, as one commit after every check. oidc-provider uses a code or a refresh
 * token up in the middle of its checks: a request that it refused afterwards (for its resource, its details, its key, a fault
 * of the storage) would have lost it. The models only keep here what they want to write, and `settleTokenRequest` writes it
 * once the answer is complete. Of parallel presentations the statement lets one through. A code that was used before ends
 * what came of its first use (RFC 6749, section 4.1.2; RFC 9700, section 2.1.1), unless it is a second click.
 */
import type { Next } from 'koa';
import Provider, { errors, type KoaContextWithOIDC } from 'oidc-provider';
import { requestMemory } from '../../lib/request_memory.ts';
import type { Use } from './record_store.ts';

/** A code that is presented and unused, for all that is known before the commit. */
interface HeldCode {
  /** Its use by this presentation. See `handOf` for `hand`. */
  use(hand: string | undefined): Use;
  /** Ends what came of another use of it. */
  endTokens(): Promise<void>;
}

interface Held {
  code?: HeldCode;
  /** Writes the refresh token, with the use of the code it is for. Resolves with the token's text. */
  refreshToken?: (use: Use | undefined) => Promise<string>;
  /** Ends what came of a code that was used before this request. */
  endUsed?: () => Promise<void>;
}

const memory = requestMemory<Held>('token commit');

function hold(held: Held): void {
  const { ctx } = Provider;
  if (!ctx) throw new Error('a token is issued outside a request');
  memory.set(ctx, { ...memory.get(ctx), ...held });
}

export const holdCode = (code: HeldCode): void => hold({ code });
export const holdRefreshToken = (refreshToken: NonNullable<Held['refreshToken']>): void =>
  hold({ refreshToken });
export const holdUsedCode = (endUsed: NonNullable<Held['endUsed']>): void => hold({ endUsed });

/** Whether the token endpoint is what handles the present request. */
export const isTokenRequest = (): boolean => Provider.ctx?.oidc?.route === 'token';

/** A code that is presented once more by the same hand: refused, and nothing ends. */
export class SecondClick extends errors.InvalidGrant {}

type Step = (ctx: KoaContextWithOIDC, next: Next) => unknown;

/** The last step of the token endpoint, with its commit. */
export const settleTokenRequest =
  (step: Step): Step =>
  async (ctx, next) => {
    try {
      await step(ctx, next);
      sayScope(ctx);
      await commit(ctx);
    } catch (error) {
      const { statusCode = 500 } = error as { statusCode?: number };
      if (statusCode < 500 && !(error instanceof SecondClick)) await memory.get(ctx)?.endUsed?.();
      throw error;
    }
  };

/**
 * RFC 6749, section 5.1: `scope` is said wherever it is not what was asked for. The library says nothing where nothing of it
 * was granted, which would read as if all of it had been.
 */
function sayScope({ body, oidc: { params } }: KoaContextWithOIDC): void {
  const asksForNone = params?.grant_type === 'client_credentials' && !params.scope;
  if (!asksForNone) Object.assign(body as object, { scope: '', ...(body as object) });
}

async function commit(ctx: KoaContextWithOIDC): Promise<void> {
  const { code, refreshToken, ...rest } = memory.get(ctx) ?? {};
  memory.set(ctx, rest);
  const use = code?.use(handOf(ctx));
  if (refreshToken) Object.assign(ctx.body as object, { refresh_token: await refreshToken(use) });
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
 * By what a repetition is known to come from the same hand: the key that its tokens are bound to, beside the client and the
 * verifier, which were checked. Undefined where nothing tells: a code without a challenge has no verifier.
 */
function handOf({ oidc: { entities } }: KoaContextWithOIDC): string | undefined {
  const { AuthorizationCode: code, AccessToken: token } = entities as {
    AuthorizationCode?: { codeChallenge?: string };
    AccessToken?: { jkt?: string; 'x5t#S256'?: string };
  };
  if (code && code.codeChallenge === undefined) return undefined;
  return [token?.jkt, token?.['x5t#S256']].join(' ');
}

/** Whether something is still to be written. Nothing may be answered then. */
export function isUnsettled(ctx: object): boolean {
  const { code, refreshToken } = memory.get(ctx) ?? {};
  return code !== undefined || refreshToken !== undefined;
}
