/** Builds the two apps and the API of the demo, for the provider at which they are registered. */
import type { DemoUrls, demoClients } from './clients.ts';
import { createRelyingParty } from './relying_party.ts';
import { createResourceServer } from './resource_server.ts';

/** The request handlers by app. Rejects if the provider does not answer. `now`: milliseconds since the epoch. */
export async function createDemoApps(
  issuer: string,
  urls: DemoUrls,
  clients: ReturnType<typeof demoClients>,
  now: () => number,
) {
  const credentials = ({ client_id, client_secret }: { client_id: string; client_secret: string }) => ({
    clientId: client_id,
    clientSecret: client_secret,
  });
  const [app, intranet] = await Promise.all([
    createRelyingParty({
      title: 'Notebook',
      issuer,
      url: urls.app,
      ...credentials(clients.app),
      scope: 'openid profile notes:read reports:read',
      apis: clients.resources.map(({ audience }) => ({ url: audience, resource: audience })),
    }),
    createRelyingParty({
      title: 'The intranet',
      issuer,
      url: urls.intranet,
      ...credentials(clients.intranet),
      scope: 'openid profile email',
      // The provider's userinfo, with an access token that is not for a particular API.
      apis: [{ url: `${issuer}/me` }],
    }),
  ]);
  const api = createResourceServer({ issuer, url: urls.api, ...credentials(clients.api), now });
  return { app, intranet, api };
}
