/** Who may do what with tokens. It replaces development defaults of oidc-provider. Pure. */

import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import type { Resource } from '../../config/schema.ts';
import type { Current } from '../../lib/current.ts';
import { isPublic } from '../clients/policy.ts';

interface Issued {
  clientId?: string | undefined;
  aud?: string | string[] | undefined;
}

/**
 * Who may introspect a token: the client that it was issued to, and the client that RESOURCES_FILE names for the
 * token's audience. All others see `{"active":false}` (RFC 7662, section 2.2). A token without an audience is for
 * userinfo, and no API may introspect it: otherwise it would accept the tokens of every app that a person has signed
 * in to.
 */
export function mayIntrospect(resources: Current<readonly Resource[]>) {
  return (_ctx: KoaContextWithOIDC, client: Client, token: Issued): boolean => {
    if (isPublic(client)) return false;
    if (token.clientId === client.clientId) return true;
    return resources
      .current()
      .some(({ audience, client_id }) => audience === token.aud && client_id === client.clientId);
  };
}

/** Only the client that a token was issued to may revoke it (RFC 7009, section 2.1). */
export const mayRevoke = (_ctx: KoaContextWithOIDC, client: Client, token: Issued): boolean =>
  token.clientId === client.clientId;

/**
 * A client gets a refresh token if it may use the grant. Without `offline_access` the token ends with the session.
 */
export const issuesRefreshToken = (_ctx: KoaContextWithOIDC, client: Client): boolean =>
  client.grantTypeAllowed('refresh_token');

/** Whether the whole grant ends. At the token and revocation endpoints only one family ends. */
export const revokesGrant = (ctx: KoaContextWithOIDC): boolean =>
  ctx.oidc.route !== 'token' && ctx.oidc.route !== 'revocation';
