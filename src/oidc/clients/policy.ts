/** What kinds of clients there are and what each may do, in place of oidc-provider's development defaults. Pure. */
import type { Client, KoaContextWithOIDC } from 'oidc-provider';

export const isFirstParty = (client: Client | undefined): boolean => client?.first_party === true;

export const isPublic = (client: Client): boolean => client.clientAuthMethod === 'none';

const grantsByPeople = new Set([
  'authorization_code',
  'implicit',
  'refresh_token',
  'urn:ietf:params:oauth:grant-type:device_code',
]);

/**
 * Whether a stranger's client may have these grants: those by which a person at this server decides what it receives. Not a
 * client's own tokens, with which it could call any API; nor requests to people by name.
 */
export const mayBeStrangers = (grantTypes: readonly unknown[]): boolean =>
  grantTypes.every((grant) => grantsByPeople.has(String(grant)));

/** PKCE is required, unless a confidential client's registration says otherwise. */
export const pkceRequired = (_ctx: KoaContextWithOIDC, client: Client): boolean =>
  isPublic(client) || client.require_pkce !== false;

/** Pages may call userinfo, and a page app its token endpoint, from the origins that the client is registered with. */
export const corsAllowed = (ctx: KoaContextWithOIDC, origin: string, client: Client): boolean =>
  (ctx.oidc.route === 'userinfo' || isPublic(client)) &&
  (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin && origin !== 'null');
