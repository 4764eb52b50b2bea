/**
 * Remembers proxies in front of this server that TRUSTED_PROXIES does not name. All people behind such a proxy count
 * as one address: they share its limits and delays, and are logged under it. The log warns once for each proxy, and
 * `npx cypher doctor` repeats that.
 */
import type { Log } from '../lib/log.ts';

export interface UntrustedProxies {
  /** Notes the address of such a proxy. */
  note(address: string): void;
  found(): string[];
}

/** Anybody can send the headers of a proxy, so what is kept and logged for them is bounded. */
const mostNoted = 10;

export function createUntrustedProxies(log: Log): UntrustedProxies {
  const noted = new Set<string>();
  return {
    note(address) {
      if (noted.has(address) || noted.size >= mostNoted) return;
      noted.add(address);
      log.warn(
        { proxy: address, set: `TRUSTED_PROXIES=${address}` },
        'requests come by a proxy that TRUSTED_PROXIES does not name: everybody behind it counts as one address. Name it if it is yours. If it is not, somebody reaches this server past your proxy',
      );
    },
    found: () => [...noted],
  };
}
