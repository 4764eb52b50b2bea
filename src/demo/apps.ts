/** Builds the demo's three apps for the provider that they are registered at. Called by main.ts and the browser tests. */
import type { DemoUrls, demoClients } from './clients.ts';
import { createRelyingParty } from './relying_party.ts';
import { createResourceServer } from './resource_server.ts';

/** Request handlers by app. Rejects where the provider does not answer. `now`: milliseconds since the epoch. */
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
      // With a token for no API in particular: the provider's own userinfo.
      apis: [{ url: `${issuer}/me` }],
    }),
  ]);
  const api = createResourceServer({ issuer, url: urls.api, ...credentials(clients.api), now });
  return { app, intranet, api };
}
