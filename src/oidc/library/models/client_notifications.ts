/**
 * How oidc-provider's Client is notified: by a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4) or a ping
 * (OpenID CIBA Core 1.0, section 10.2). At a sign-out the library sends the tokens itself, once, and forgets them. Here every
 * end of a session leaves rows (deliveries/): `backchannelLogout` sends nothing, and its making and posting of the token are
 * what a delivery does.
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

/** Each is false where the client is gone or has no address for it, and rejects unless it answers 200 or 204. */
export interface Notifications {
  logout(clientId: string, accountId: string, sid: string | undefined): Promise<boolean>;
  /** `token`: the bearer token that the client wants to be notified with. */
  ping(clientId: string, request: { requestId: string; token: string }): Promise<boolean>;
}

/** Takes the sending out of the library's sign-out, and returns it. */
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
