/**
 * Proxies in front of this server that TRUSTED_PROXIES does not name. All people behind one count as one address, share its
 * limits and its delays, and are written down under it. The log says so once for each; `npx cypher doctor` repeats it.
 */
import type { Log } from '../lib/log.ts';

export interface UntrustedProxies {
  /** Takes note of the address of one. */
  note(address: string): void;
  found(): string[];
}

/** Anybody can send the headers of a proxy: what is kept and logged for them has an end. */
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
