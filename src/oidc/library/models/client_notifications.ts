/**
 * How oidc-provider's Client is notified: by a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4) or
 * by a ping (OpenID CIBA Core 1.0, section 10.2). At a sign-out the library sends each token once and forgets it.
 * Here the end of a session stores deliveries (src/deliveries), which are retried. So `backchannelLogout` does
 * nothing, and a delivery calls the library's original function to make and post the token.
 */
import type Provider from 'oidc-provider';
import { askFor } from './client.ts';
import { modelOf } from './model.ts';

interface ClientModel {
  backchannelLogoutUri?: string | undefined;
  backchannelClientNotificationEndpoint?: string | undefined;
  backchannelLogout(accountId: string, sid: string | undefined): Promise<void>;
  backchannelPing(request: object): Promise<void>;
}

/**
 * Sends notifications. Each function resolves with false if the client is gone or has no address for it. It rejects
 * unless the client answers with 200 or 204.
 */
export interface Notifications {
  logout(clientId: string, accountId: string, sid: string | undefined): Promise<boolean>;
  /** `token`: the bearer token that the client wants to be notified with. */
  ping(clientId: string, request: { requestId: string; token: string }): Promise<boolean>;
}

/** Stops the library's sign-out from sending logout tokens, and returns the functions that send notifications. */
export function takeOverNotifications(provider: Provider): Notifications {
  const Model = modelOf<{ prototype: ClientModel; find(id: string): Promise<ClientModel | undefined> }>(
    provider,
    'Client',
  );
  const send = Model.prototype.backchannelLogout;
  Model.prototype.backchannelLogout = async () => {};
  return {
    async logout(clientId, accountId, sid) {
      const client = await Model.find(clientId);
      if (!client?.backchannelLogoutUri) return false;
      await askFor(client, client.backchannelLogoutUri, () => send.call(client, accountId, sid));
      return true;
    },
    async ping(clientId, { requestId, token }) {
      const client = await Model.find(clientId);
      const address = client?.backchannelClientNotificationEndpoint;
      if (!client || !address) return false;
      const request = {
        jti: requestId,
        kind: 'BackchannelAuthenticationRequest',
        params: { client_notification_token: token },
      };
      await askFor(client, address, () => client.backchannelPing(request));
      return true;
    },
  };
}
