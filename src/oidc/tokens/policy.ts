/** Who may do what with tokens, in place of oidc-provider's development defaults. Pure. */

import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import type { Resource } from '../../config/schema.ts';
import type { Current } from '../../lib/current.ts';
import { isPublic } from '../clients/policy.ts';

interface Issued {
  clientId?: string | undefined;
  aud?: string | string[] | undefined;
}

/**
 * A token is shown to the client it was issued to, and to the API it is meant for: the client that is named with its audience
 * in RESOURCES_FILE. Everybody else sees `{"active":false}` (RFC 7662, section 2.2). A token without an audience is for
 * userinfo: an API that took it would let any app in that a person has once signed in to.
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

/** Every client that may use refresh tokens receives one; without `offline_access` it ends at the session's sign-out. */
export const issuesRefreshToken = (_ctx: KoaContextWithOIDC, client: Client): boolean =>
  client.grantTypeAllowed('refresh_token');

/** Sign-out ends the session's grants; at the token and revocation endpoints only the family in question ends. */
export const revokesGrant = (ctx: KoaContextWithOIDC): boolean =>
  ctx.oidc.route !== 'token' && ctx.oidc.route !== 'revocation';
