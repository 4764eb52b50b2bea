/**
 * The sites of forward-auth as apps of their own provider, so that signing in to one is a sign-in like any other, with
 * its name on the page. `response_type=none`, as for the account page (account_client.ts): the sign-on session is all that
 * it leaves. The browser comes back to the issuer, which sends it on to the site. Pure.
 */
import type { ClientMetadata } from 'oidc-provider';
import { type ForwardAuth, forwardAuthClientPrefix } from '../../config/forward_auth.ts';

const redirectUri = (issuer: string): string => `${issuer}/forward-auth/signed-in`;

/** Their entries among the clients. */
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

/** Where a browser is sent to sign in for a site. `state` comes back with it. */
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
