/**
 * Which consents are remembered beyond a session. One is remembered where nobody else can pass for the app: it authenticates
 * itself, or its answer goes to a web address of its own. Whoever can install an app on the person's device can take its
 * loopback address or its scheme, so such an app is asked for anew (RFC 8252, section 8.6; RFC 9700, section 4.13).
 */
import type { Client, Grant, KoaContextWithOIDC } from 'oidc-provider';
import type { Consent } from '../../consents/consents.ts';

/** Whether an answer at `redirectUri` reaches this client alone; undefined for a device. */
export function identityIsProven(client: Client, redirectUri: string | undefined): boolean {
  const url = redirectUri === undefined ? null : URL.parse(redirectUri);
  const isClaimed = url?.protocol === 'https:' && !isLoopback(url.hostname);
  return isClaimed || (client.clientAuthMethod !== 'none' && client.applicationType !== 'native');
}

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');

/** Whether people are asked at every request, whatever they allowed before. */
export function asksAlways(client: Client, redirectUri: string | undefined): boolean {
  const isStrangers = (client as { noManage?: boolean }).noManage !== true;
  return (client.applicationType === 'native' || isStrangers) && !identityIsProven(client, redirectUri);
}

/** What a request asks for. */
export interface Asked {
  scopes: ReadonlySet<string>;
  claims: ReadonlySet<string>;
  /** The scopes of each API that was asked for. */
  resources: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Whether the grant has all that is asked for: then nothing remembered adds to it. */
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

/** Adds what is asked for and was allowed before. False where that is nothing. */
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

/** Where the answer to a request for authorization goes; undefined for a device. */
export const redirectUriOf = ({ oidc }: KoaContextWithOIDC): string | undefined =>
  oidc.params?.redirect_uri as string | undefined;
