/** The entries of CLIENTS_FILE and RESOURCES_FILE for the demo's apps. They are a model for your own. */
import { randomBytes } from 'node:crypto';

/** The address of each part of the demo, without a slash at the end. */
export interface DemoUrls {
  app: string;
  api: string;
  intranet: string;
}

/** The entries, with new random secrets. */
export function demoClients({ app, api, intranet }: DemoUrls) {
  const secret = () => randomBytes(32).toString('base64url');
  const signsIn = (url: string) => ({
    client_secret: secret(),
    redirect_uris: [`${url}/callback`],
    post_logout_redirect_uris: [`${url}/`],
    // The provider notifies the app here when a session ends, wherever it was ended.
    backchannel_logout_uri: `${url}/backchannel-logout`,
    grant_types: ['authorization_code', 'refresh_token'],
    // openid-client takes every algorithm of the discovery document. ES256 takes a tenth of the CPU of RS256.
    id_token_signed_response_alg: 'ES256',
  });
  return {
    app: { client_id: 'demo-app', client_name: 'Notebook', client_uri: `${app}/`, ...signsIn(app) },
    // A first-party app. While the session lasts, it signs people in without a password and without consent.
    intranet: {
      client_id: 'demo-intranet',
      client_name: 'The intranet',
      first_party: true,
      ...signsIn(intranet),
    },
    // A device without a keyboard. It shows a code, which a person enters on another device.
    device: {
      client_id: 'demo-device',
      client_name: 'The television',
      token_endpoint_auth_method: 'none',
      redirect_uris: [],
      response_types: [],
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
    },
    // An API obtains no tokens. It has a secret so that it can introspect the tokens that it receives.
    api: {
      client_id: 'demo-api',
      client_name: "The notebook's API",
      client_secret: secret(),
      redirect_uris: [],
      response_types: [],
      grant_types: [],
    },
    resources: [
      {
        audience: `${api}/notes`,
        scopes: ['notes:read'],
        token_format: 'v4.local' as const,
        client_id: 'demo-api',
      },
      { audience: `${api}/reports`, scopes: ['reports:read'], token_format: 'v4.public' as const },
    ],
  };
}
