/** The kinds of clients and what each may do. It replaces development defaults of oidc-provider. Pure. */
import type { Client, KoaContextWithOIDC } from 'oidc-provider';

/** Whether the operator has declared the client as first-party. People are then not asked for consent. */
export const isFirstParty = (client: Client | undefined): boolean => client?.first_party === true;

/** Whether the client cannot authenticate itself, such as an app in a browser or on a phone. */
export const isPublic = (client: Client): boolean => client.clientAuthMethod === 'none';

const grantsByPeople = new Set([
  'authorization_code',
  'implicit',
  'refresh_token',
  'urn:ietf:params:oauth:grant-type:device_code',
]);

/**
 * Whether a client that the operator does not know may have these grant types. A person at this server must decide
 * what the client receives. So it gets no client credentials, which would let it call any API, and no CIBA, by which
 * it could send requests to people by name.
 */
export const mayBeStrangers = (grantTypes: readonly unknown[]): boolean =>
  grantTypes.every((grant) => grantsByPeople.has(String(grant)));

/** PKCE is required, except for a confidential client whose registration sets `require_pkce` to false. */
export const pkceRequired = (_ctx: KoaContextWithOIDC, client: Client): boolean =>
  isPublic(client) || client.require_pkce !== false;

/**
 * Whether the answer to a refresh has a new ID token. It may be left out (OpenID Connect Core, section 12.2), which
 * saves its signature.
 */
export const idTokenAtRefresh = (client: Client): boolean => client.id_token_at_refresh !== false;

/**
 * Allows cross-origin requests from the origins of a client's redirect URIs: to userinfo for every client, and to the
 * other endpoints for public clients.
 */
export const corsAllowed = (ctx: KoaContextWithOIDC, origin: string, client: Client): boolean =>
  (ctx.oidc.route === 'userinfo' || isPublic(client)) &&
  (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin && origin !== 'null');
