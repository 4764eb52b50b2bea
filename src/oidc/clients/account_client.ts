/**
 * The account page as a client of its own provider. Signing in to it goes through the authorization endpoint like any
 * other sign-in, with both factors. The page only needs the sign-on session that this leaves. So it uses
 * `response_type=none` (OAuth 2.0 Multiple Response Types, section 4): there is no code or token that could be
 * stolen, or planted in another person's browser to sign them in as somebody else. Pure.
 */
import type { ClientMetadata } from 'oidc-provider';
import { accountClientId } from '../../config/client_schema.ts';

const redirectUri = (issuer: string): string => `${issuer}/account/signed-in`;

/** The metadata of this client. */
export const accountClient = (issuer: string): ClientMetadata & { first_party: boolean } => ({
  client_id: accountClientId,
  client_name: 'your account',
  redirect_uris: [redirectUri(issuer)],
  response_types: ['none'],
  grant_types: [],
  token_endpoint_auth_method: 'none',
  first_party: true,
});

/**
 * The path where a browser signs in to the account page. With `prompt`, a person who is signed in must sign in again.
 */
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
