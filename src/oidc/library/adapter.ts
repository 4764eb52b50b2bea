/**
 * Storage for oidc-provider's models, one adapter per model. Sessions, refresh families and records are in
 * PostgreSQL. Interactions and pushed requests are short-lived protocol state (storage/ephemeral.ts). Access tokens
 * are not stored. What is special about a model is in its own file under models/.
 */
import type { Adapter } from 'oidc-provider';
import { accessTokenAdapter } from './models/access_token.ts';
import { authorizationCodeAdapter } from './models/authorization_code.ts';
import { backchannelRequestAdapter } from './models/backchannel_request.ts';
import { clientAdapter } from './models/client.ts';
import { deviceCodeAdapter } from './models/device_code.ts';
import { grantAdapter } from './models/grant.ts';
import { interactionAdapter } from './models/interaction.ts';
import { pushedRequestAdapter } from './models/pushed_request.ts';
import { recordAdapter } from './models/record.ts';
import { sessionAdapter } from './models/session.ts';
import type { Stores } from './stores.ts';

const adapters: Record<string, (stores: Stores) => Partial<Adapter>> = {
  AccessToken: accessTokenAdapter,
  AuthorizationCode: authorizationCodeAdapter,
  BackchannelAuthenticationRequest: backchannelRequestAdapter,
  Client: clientAdapter,
  ClientCredentials: accessTokenAdapter,
  DeviceCode: deviceCodeAdapter,
  Grant: grantAdapter,
  Interaction: interactionAdapter,
  PushedAuthorizationRequest: pushedRequestAdapter,
  // The overridden methods of this model use our refresh store and no adapter.
  RefreshToken: () => ({}),
  Session: sessionAdapter,
};

/** The adapter of one model, by the model's name. */
export const createAdapter =
  (stores: Stores) =>
  (model: string): Adapter => ({
    ...unsupported(model),
    ...(adapters[model]?.(stores) ?? recordAdapter(model, stores)),
  });

/** An operation that a model does not support throws. Otherwise the library would believe that it worked. */
function unsupported(model: string): Adapter {
  const refuse = (operation: string) => async (): Promise<never> => {
    throw new Error(`${model} has no ${operation}`);
  };
  return {
    upsert: refuse('upsert'),
    find: refuse('find'),
    findByUid: refuse('findByUid'),
    findByUserCode: refuse('findByUserCode'),
    consume: refuse('consume'),
    destroy: refuse('destroy'),
    revokeByGrantId: refuse('revokeByGrantId'),
  };
}
