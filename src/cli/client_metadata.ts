/** The metadata of an app, from the options of `npx cypher client add`. */
import { readFileSync } from 'node:fs';

/** The options of `npx cypher client add`, as commander hands them over. */
export interface AddOptions {
  name?: string;
  redirectUri?: string[];
  postLogoutRedirectUri?: string[];
  backchannelLogoutUri?: string;
  loginUri?: string;
  public?: true;
  authMethod?: string;
  grantType?: string[];
  api?: true;
  firstParty?: true;
  pkce: boolean;
  idTokenAlg?: string;
  idTokenAtRefresh: boolean;
  metadata?: string;
  json?: true;
}

/** The metadata that the options stand for. Throws if `--metadata` names no file with a JSON object. */
export function metadataOf(id: string, options: AddOptions): object {
  const given = options.metadata === undefined ? {} : readMetadata(options.metadata);
  const grants = options.api ? [] : options.grantType;
  const metadata = {
    grant_types: ['authorization_code', 'refresh_token'],
    ...given,
    client_id: id,
    ...(options.name === undefined ? {} : { client_name: options.name }),
    ...(options.redirectUri && { redirect_uris: options.redirectUri }),
    ...(options.postLogoutRedirectUri && { post_logout_redirect_uris: options.postLogoutRedirectUri }),
    ...(options.backchannelLogoutUri === undefined
      ? {}
      : { backchannel_logout_uri: options.backchannelLogoutUri }),
    ...(options.loginUri === undefined ? {} : { initiate_login_uri: options.loginUri }),
    ...(options.authMethod === undefined ? {} : { token_endpoint_auth_method: options.authMethod }),
    ...(options.public && { token_endpoint_auth_method: 'none' }),
    ...(grants && { grant_types: grants }),
    ...(options.firstParty && { first_party: true }),
    ...(options.pkce ? {} : { require_pkce: false }),
    ...(options.idTokenAlg === undefined ? {} : { id_token_signed_response_alg: options.idTokenAlg }),
    ...(options.idTokenAtRefresh ? {} : { id_token_at_refresh: false }),
  };
  // By default oidc-provider expects redirect_uris. A client without the code flow must say that it has none.
  const redirects = metadata.grant_types.includes('authorization_code');
  return redirects ? metadata : { response_types: [], redirect_uris: [], ...metadata };
}

function readMetadata(path: string): object {
  const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error(`${path} must hold a JSON object`);
  }
  return value;
}
