/**
 * Pushed requests (RFC 9126, section 2.2) are answered once. oidc-provider uses one up before it makes the answer, which may
 * still fail. Here the use is one of the writes of the authorization (authorization_writes.ts): it is committed with the
 * code, or not at all, and of parallel answers to one request it lets one through.
 */
import type { Next } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { sha256 } from '../../../lib/crypto.ts';
import { invalidRequest } from '../../../lib/errors.ts';
import { requestMemory } from '../../../lib/request_memory.ts';
import { lifeSeconds } from '../../../lifetimes.ts';
import { isSpentBefore, spending } from '../../../storage/spent.ts';
import { gather } from '../authorization_writes.ts';

const answered = requestMemory<string>('answered pushed request');

type Step = (ctx: KoaContextWithOIDC, next: Next) => unknown;

/** The last step of an authorization, with the use of the pushed request that it answers. */
export const settlePushedRequest =
  (step: Step): Step =>
  async (ctx, next) => {
    await step(ctx, next);
    const { PushedAuthorizationRequest, Interaction } = ctx.oidc.entities as {
      PushedAuthorizationRequest?: { jti: string };
      Interaction?: { parJti?: string };
    };
    // The request itself may have expired while the person was signing in.
    const id = PushedAuthorizationRequest?.jti ?? Interaction?.parJti;
    if (id === undefined) return;
    // Kept for as long as a sign-in that was begun with it may last.
    if (gather(spending(`pushed:${sha256(id)}`, lifeSeconds.interaction))) answered.set(ctx, id);
  };

/** The id of the pushed request that was answered; it is the caller's to remove. */
export const takeAnswered = (ctx: object): string | undefined => answered.take(ctx);

/** Throws what a write of an authorization failed with, in words where that is a second answer to a pushed request. */
export function refuseSecondAnswer(error: unknown): never {
  if (isSpentBefore(error))
    throw invalidRequest('This request was used before. Go back to the app and begin again.');
  throw error;
}
