/**
 * The sites of forward-auth as clients of their own provider. So signing in to a site is a sign-in like any other,
 * with the site's name on the page. They use `response_type=none`, because only the sign-on session is needed. The
 * browser returns to the issuer, which redirects it to the site. Pure.
 */
import type { ClientMetadata } from 'oidc-provider';
import { type ForwardAuth, forwardAuthClientPrefix } from '../../config/forward_auth.ts';

const redirectUri = (issuer: string): string => `${issuer}/forward-auth/signed-in`;

/** The metadata of these clients, one per site. */
export const forwardAuthClients = (
  issuer: string,
  { sites }: Pick<ForwardAuth, 'sites'>,
): (ClientMetadata & { first_party: boolean })[] =>
  sites.map(({ host }) => ({
    client_id: `${forwardAuthClientPrefix}${host}`,
    client_name: host,
    client_uri: `${new URL(issuer).protocol}//${host}/`,
    redirect_uris: [redirectUri(issuer)],
    response_types: ['none'],
    grant_types: [],
    token_endpoint_auth_method: 'none',
    first_party: true,
  }));

/** The path where a browser signs in for a site. `state` is returned with the answer. */
export function forwardAuthSignInPath(
  issuer: string,
  {
    host,
    maxAgeSeconds,
    state,
    anotherAccount,
  }: { host: string; maxAgeSeconds: number | undefined; state: string; anotherAccount: boolean },
): string {
  const query = new URLSearchParams({
    client_id: `${forwardAuthClientPrefix}${host}`,
    redirect_uri: redirectUri(issuer),
    response_type: 'none',
    scope: 'openid',
    state,
    ...(anotherAccount ? { prompt: 'select_account' } : {}),
    ...(maxAgeSeconds === undefined ? {} : { max_age: String(maxAgeSeconds) }),
  });
  return `/auth?${query}`;
}
