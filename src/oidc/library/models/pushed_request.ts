/**
 * oidc-provider's PushedAuthorizationRequest (RFC 9126, section 2.2), which is answered once. The library marks it as
 * used before it makes the answer, and that may still fail. Here the mark is one of the writes of the authorization.
 * It is committed together with the code, and only one of several concurrent answers succeeds.
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

/** Adds the use of the pushed request to the last step of an authorization. */
export const settlePushedRequest =
  (step: Step): Step =>
  async (ctx, next) => {
    await step(ctx, next);
    const scope = scopeOf(ctx);
    if (!scope) return;
    const { PushedAuthorizationRequest, Interaction } = scope.entities;
    // The pushed request may have expired while the person signed in. Then only the interaction knows its id.
    const id = PushedAuthorizationRequest?.jti ?? Interaction?.parJti;
    if (id === undefined) return;
    // The mark is kept for as long as a sign-in that began with this request may last.
    if (scope.gather(spending(`pushed:${sha256(id)}`, lifeSeconds.interaction))) scope.answeredPush = id;
  };

/**
 * Rethrows the error of an authorization's commit. If the pushed request was already used, it throws an AppError 400
 * with a message for the person instead.
 */
export function refuseSecondAnswer(error: unknown): never {
  if (isSpentBefore(error))
    throw invalidRequest('This request was used before. Go back to the app and begin again.');
  throw error;
}
