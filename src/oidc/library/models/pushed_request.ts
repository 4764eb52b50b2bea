/**
 * oidc-provider's PushedAuthorizationRequest (RFC 9126, section 2.2): answered once. The library uses one up before it makes
 * the answer, which may still fail. Here the use is one of the writes of the authorization: it is committed with the code, or
 * not at all, and of parallel answers to one request it lets one through.
 */
import type { Adapter } from 'oidc-provider';
import { sha256 } from '../../../lib/crypto.ts';
import { invalidRequest } from '../../../lib/errors.ts';
import { lifeSeconds } from '../../../lifetimes.ts';
import { isSpentBefore, spending } from '../../../storage/spent.ts';
import { scopeOf } from '../request_scope.ts';
import type { Step } from '../routes/step.ts';
import type { Stores } from '../stores.ts';
import { ephemeralAdapter } from './ephemeral.ts';

export const pushedRequestAdapter = (stores: Stores): Partial<Adapter> => ({
  ...ephemeralAdapter('PushedAuthorizationRequest', stores),
  consume: async () => {},
});

/** The last step of an authorization, with the use of the pushed request that it answers. */
export const settlePushedRequest =
  (step: Step): Step =>
  async (ctx, next) => {
    await step(ctx, next);
    const scope = scopeOf(ctx);
    if (!scope) return;
    const { PushedAuthorizationRequest, Interaction } = scope.entities;
    // The request itself may have expired while the person was signing in.
    const id = PushedAuthorizationRequest?.jti ?? Interaction?.parJti;
    if (id === undefined) return;
    // Kept for as long as a sign-in that was begun with it may last.
    if (scope.gather(spending(`pushed:${sha256(id)}`, lifeSeconds.interaction))) scope.answeredPush = id;
  };

/** Throws what a write of an authorization failed with, in words where that is a second answer to a pushed request. */
export function refuseSecondAnswer(error: unknown): never {
  if (isSpentBefore(error))
    throw invalidRequest('This request was used before. Go back to the app and begin again.');
  throw error;
}
