/**
 * The account page as an app of its own provider: signing in to it goes through the authorization endpoint like any other
 * sign-in, with both factors, and the sign-on session that it leaves is all that the page goes by. So `response_type=none`
 * (OAuth 2.0 Multiple Response Types, section 4): no code or token is made that could be stolen, or planted in another's
 * browser to sign them in as somebody else. Pure.
 */
import type { ClientMetadata } from 'oidc-provider';
import { accountClientId } from '../../config/client_schema.ts';

const redirectUri = (issuer: string): string => `${issuer}/account/signed-in`;

/** Its entry among the clients. */
export const accountClient = (issuer: string): ClientMetadata & { first_party: boolean } => ({
  client_id: accountClientId,
  client_name: 'your account',
  redirect_uris: [redirectUri(issuer)],
  response_types: ['none'],
  grant_types: [],
  token_endpoint_auth_method: 'none',
  first_party: true,
});

/** Where a browser is sent to sign in to it; with `prompt`, whoever is signed in there already. */
export function accountSignInPath(
  issuer: string,
  more: { prompt?: 'login'; login_hint?: string } = {},
): string {
  const query = new URLSearchParams({
    client_id: accountClientId,
    redirect_uri: redirectUri(issuer),
    response_type: 'none',
    scope: 'openid',
    ...more,
  });
  return `/auth?${query}`;
}
