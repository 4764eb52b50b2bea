/** The apps that the tests sign in to, as entries of CLIENTS_FILE. */

const code = { response_types: ['code'], grant_types: ['authorization_code', 'refresh_token'] };

const web = {
  client_id: 'web',
  client_name: 'A web app',
  client_secret: 'a-secret-of-the-web-app-0123456789abcdef',
  redirect_uri: 'https://web.example/callback',
  redirect_uris: ['https://web.example/callback'],
  post_logout_redirect_uris: ['https://web.example/'],
  ...code,
};

const spa = {
  client_id: 'spa',
  client_name: 'A page app',
  token_endpoint_auth_method: 'none',
  redirect_uri: 'https://spa.example/callback',
  redirect_uris: ['https://spa.example/callback'],
  post_logout_redirect_uris: ['https://spa.example/'],
  ...code,
};

const intranet = {
  client_id: 'intranet',
  client_name: 'The intranet',
  client_secret: 'a-secret-of-the-intranet-0123456789abcdef',
  redirect_uri: 'https://intranet.example/callback',
  redirect_uris: ['https://intranet.example/callback'],
  first_party: true,
  require_pkce: false,
  ...code,
};

const api = {
  client_id: 'api',
  client_name: 'An API',
  client_secret: 'a-secret-of-the-api-0123456789abcdef',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: [],
};

const machine = {
  client_id: 'machine',
  client_secret: 'a-secret-of-the-machine-0123456789abcdef',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: ['client_credentials'],
};

export const apps = { web, spa, intranet, api, machine };
