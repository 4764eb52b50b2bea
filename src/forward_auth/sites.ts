/** The sites that are named in the configuration, and nothing else: whatever is redirected to or let in is one of them. Pure. */
import type { ForwardAuthSite } from '../config/forward_auth.ts';

export interface Site extends Omit<ForwardAuthSite, 'accounts'> {
  origin: string;
  /** Whose usernames, folded; everybody's where it is undefined. */
  usernameKeys: string[] | undefined;
}

export interface Sites {
  /** The site of this scheme and host (with a port), exactly. */
  at(scheme: string, host: string): Site | undefined;
  /** The site that an address belongs to, and the address as a browser would ask for it. */
  ofUrl(text: string): { site: Site; url: string } | undefined;
}

const longestUrl = 2000;

/** The sites have the issuer's scheme: https, but for an issuer on this machine. */
export function createSites(
  issuer: string,
  sites: ForwardAuthSite[],
  foldUsername: (name: string) => string,
): Sites {
  const { protocol } = new URL(issuer);
  const byOrigin = new Map(
    sites.map(({ accounts, ...site }): [string, Site] => {
      // Without the port where it is the scheme's own.
      const { origin } = new URL(`${protocol}//${site.host}`);
      return [origin, { ...site, origin, usernameKeys: accounts?.map(foldUsername) }];
    }),
  );

  function ofUrl(text: string) {
    const url = text.length <= longestUrl ? URL.parse(text) : null;
    // What stands before an @ is no part of the origin, and misleads people.
    if (!url || url.username || url.password) return undefined;
    const site = byOrigin.get(url.origin);
    return site && { site, url: url.href };
  }

  return {
    at: (scheme, host) => (/^[a-z0-9.:-]+$/i.test(host) ? ofUrl(`${scheme}://${host}/`)?.site : undefined),
    ofUrl,
  };
}
