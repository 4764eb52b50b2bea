/**
 * The networks in which an address is counted. Behind an IPv4 address there may be one person or an office. An IPv6
 * user holds at least a /64, which counts as one address. They may hold a /56 or a /48, so these are counted too,
 * with higher bounds.
 */
import ipaddr from 'ipaddr.js';

export interface Network {
  /** Its address and, for IPv6, its length. */
  key: string;
  /** How many times the limit of one address it has: by its length, and more if the operator trusts it. */
  times: number;
  /**
   * The same by its length alone. Used for guesses at one account, where a trusted network may do no more than
   * others.
   */
  timesBySize: number;
}

/** The narrowest network first. */
export type NetworksOf = (address: string) => [Network, ...Network[]];

const lengths = [
  { bits: 64, parts: 4, times: 1 },
  { bits: 56, parts: 4, times: 4 },
  { bits: 48, parts: 3, times: 16 },
] as const;

/**
 * For an office whose people the operator knows, or a university behind a few addresses: this many times the limits.
 */
const timesWhereTrusted = 20;

/** `trustedNetworks`: addresses and CIDRs that have twenty times the limits. */
export function createNetworks(trustedNetworks: string[]): NetworksOf {
  const isTrusted = createMatcher(trustedNetworks);
  return (address) => {
    const more = isTrusted(address) ? timesWhereTrusted : 1;
    if (!address.includes(':') || !ipaddr.isValid(address))
      return [{ key: address, times: more, timesBySize: 1 }];
    const { parts: words } = ipaddr.process(address) as ipaddr.IPv6;
    const network = ({ bits, parts, times }: (typeof lengths)[number]): Network => {
      const kept = words.slice(0, parts);
      if (bits === 56) kept[3] = (kept[3] ?? 0) & 0xff00;
      return {
        key: `${kept.map((word) => word.toString(16)).join(':')}/${bits}`,
        times: times * more,
        timesBySize: times,
      };
    };
    const [narrow, ...wide] = lengths;
    return [network(narrow), ...wide.map(network)];
  };
}

/**
 * Returns whether an address is one of `entries`, or in one of their CIDRs. An IPv4 address also matches in its IPv6
 * form.
 */
export function createMatcher(entries: string[]): (address: string) => boolean {
  const ranges = entries.map((entry) =>
    entry.includes('/')
      ? ipaddr.parseCIDR(entry)
      : ([ipaddr.parse(entry), ipaddr.parse(entry).kind() === 'ipv4' ? 32 : 128] as const),
  );
  return (address) => {
    if (ranges.length === 0 || !ipaddr.isValid(address)) return false;
    const parsed = ipaddr.process(address);
    return ranges.some(([network, bits]) => parsed.kind() === network.kind() && parsed.match(network, bits));
  };
}
