/**
 * Override of oidc-provider's Client.backchannelLogout: at a sign-out the library sends logout tokens itself, once, and
 * forgets them. Here every end of a session leaves rows (deliveries/), so its own sending is left out, and its making of
 * the token (OpenID Connect Back-Channel Logout 1.0, section 2.4) and posting of it are what a delivery does.
 * test/http/provider_internals.test.ts breaks where a release makes or sends them otherwise.
 */
import type Provider from 'oidc-provider';
import { askFor } from './client.ts';

interface ClientModel {
  backchannelLogoutUri?: string | undefined;
  backchannelLogout(accountId: string, sid: string | undefined): Promise<void>;
}

/** Sends one logout token. False where the client is gone or has no address for it; rejects unless it answers 200 or 204. */
export type SendLogout = (clientId: string, accountId: string, sid: string | undefined) => Promise<boolean>;

/** Takes the sending out of the library's sign-out; returns it. */
export function takeOverBackchannelLogout(provider: Provider): SendLogout {
  const { prototype } = provider.Client as unknown as { prototype: ClientModel };
  const send = prototype.backchannelLogout;
  prototype.backchannelLogout = async () => {};
  return async (clientId, accountId, sid) => {
    const client = (await provider.Client.find(clientId)) as unknown as ClientModel | undefined;
    if (!client?.backchannelLogoutUri) return false;
    await askFor(client, client.backchannelLogoutUri, () => send.call(client, accountId, sid));
    return true;
  };
}
