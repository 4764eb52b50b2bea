/** The sites of the configuration. Only these may be entered, and the browser is redirected only to these. Pure. */
import type { ForwardAuthSite } from '../config/forward_auth.ts';

export interface Site extends Omit<ForwardAuthSite, 'accounts'> {
  origin: string;
  /** The folded usernames that may enter. Undefined if all accounts may. */
  usernameKeys: string[] | undefined;
}

export interface Sites {
  /** The site of exactly this scheme and host (with its port). */
  at(scheme: string, host: string): Site | undefined;
  /** The site that an address belongs to, and the address as a browser would request it. */
  ofUrl(text: string): { site: Site; url: string } | undefined;
}

const longestUrl = 2000;

/** All sites have the issuer's scheme, which is https unless the issuer runs on this machine. */
export function createSites(
  issuer: string,
  sites: ForwardAuthSite[],
  foldUsername: (name: string) => string,
): Sites {
  const { protocol } = new URL(issuer);
  const byOrigin = new Map(
    sites.map(({ accounts, ...site }): [string, Site] => {
      // `origin` leaves out the default port of the scheme.
      const { origin } = new URL(`${protocol}//${site.host}`);
      return [origin, { ...site, origin, usernameKeys: accounts?.map(foldUsername) }];
    }),
  );

  function ofUrl(text: string) {
    const url = text.length <= longestUrl ? URL.parse(text) : null;
    // Text before an @ is not part of the origin, and misleads people.
    if (!url || url.username || url.password) return undefined;
    const site = byOrigin.get(url.origin);
    return site && { site, url: url.href };
  }

  return {
    at: (scheme, host) => (/^[a-z0-9.:-]+$/i.test(host) ? ofUrl(`${scheme}://${host}/`)?.site : undefined),
    ofUrl,
  };
}
