/**
 * Decides which consents are remembered beyond a session. A consent is remembered only if no other app can
 * impersonate the client: it authenticates itself, or its answer goes to its own https address. Another app on the
 * person's device can take over a loopback address or an app scheme. For such a client the person is asked again (RFC
 * 8252, section 8.6; RFC 9700, section 4.13).
 */
import type { Client, Grant, KoaContextWithOIDC } from 'oidc-provider';
import type { Consent } from '../../consents/consents.ts';

/** Whether no other app can pass for this client at `redirectUri`. Pass undefined for the device flow. */
export function identityIsProven(client: Client, redirectUri: string | undefined): boolean {
  const url = redirectUri === undefined ? null : URL.parse(redirectUri);
  const isClaimed = url?.protocol === 'https:' && !isLoopback(url.hostname);
  return isClaimed || (client.clientAuthMethod !== 'none' && client.applicationType !== 'native');
}

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');

/** Whether the person is asked at every request, whatever they allowed before. */
export function asksAlways(client: Client, redirectUri: string | undefined): boolean {
  const isStrangers = (client as { noManage?: boolean }).noManage !== true;
  return (client.applicationType === 'native' || isStrangers) && !identityIsProven(client, redirectUri);
}

/** The scopes and claims that a request asks for. */
export interface Asked {
  scopes: ReadonlySet<string>;
  claims: ReadonlySet<string>;
  /** The requested scopes of each requested API, by its audience. */
  resources: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Whether the grant already contains everything that is requested, so that remembered consents are not needed. */
export function covers(grant: Grant, { scopes, claims, resources }: Asked): boolean {
  const within = (asked: Iterable<string>, has: readonly string[]) =>
    [...asked].every((each) => has.includes(each));
  return (
    within(scopes, grant.getOIDCScopeEncountered().split(' ')) &&
    within(claims, grant.getOIDCClaimsEncountered()) &&
    [...resources].every(([audience, of]) =>
      within(of, grant.getResourceScopeEncountered(audience).split(' ')),
    )
  );
}

/** Adds to the grant what is requested and was allowed before. False if there is nothing to add. */
export function addRemembered(grant: Grant, asked: Asked, remembered: readonly Consent[]): boolean {
  let added = false;
  for (const { audience, scopes, claims } of remembered) {
    const wanted = audience === '' ? asked.scopes : asked.resources.get(audience);
    const both = scopes.filter((scope) => wanted?.has(scope));
    const known = audience === '' ? claims.filter((claim) => asked.claims.has(claim)) : [];
    if (both.length > 0 && audience === '') grant.addOIDCScope(both.join(' '));
    else if (both.length > 0) grant.addResourceScope(audience, both.join(' '));
    if (known.length > 0) grant.addOIDCClaims(known);
    added ||= both.length + known.length > 0;
  }
  return added;
}

/** The redirect URI of an authorization request. Undefined in the device flow. */
export const redirectUriOf = ({ oidc }: KoaContextWithOIDC): string | undefined =>
  oidc.params?.redirect_uri as string | undefined;

/** What the library's consent prompt says is missing. */
export interface ConsentDetails {
  missingOIDCScope?: string[];
  missingOIDCClaims?: string[];
  missingResourceScopes?: Record<string, string[]>;
}

/** The consents to remember, from what the person was asked for. */
export function consentsIn({
  missingOIDCScope = [],
  missingOIDCClaims = [],
  missingResourceScopes,
}: ConsentDetails) {
  const own = { audience: '', scopes: missingOIDCScope, claims: missingOIDCClaims };
  const apis = Object.entries(missingResourceScopes ?? {});
  return [own, ...apis.map(([audience, scopes]) => ({ audience, scopes, claims: [] }))].filter(
    ({ scopes, claims }) => scopes.length + claims.length > 0,
  );
}
