/**
 * The networks that an address is counted in. Behind an address of IPv4 there may be one person or an office. A user of IPv6 holds
 * at least 64 bits of addresses, which count as one, and may hold a /56 or a /48: these are counted too, with higher bounds.
 */
import ipaddr from 'ipaddr.js';

export interface Network {
  /** Its address and, of IPv6, its length. */
  key: string;
  /** How many times as much as one address it may do, where it is one that the operator trusts, too. */
  times: number;
  /** The same by its length alone: a trusted network may guess at one account no more often than others. */
  timesBySize: number;
}

/** The narrowest network first. */
export type NetworksOf = (address: string) => [Network, ...Network[]];

const lengths = [
  { bits: 64, parts: 4, times: 1 },
  { bits: 56, parts: 4, times: 4 },
  { bits: 48, parts: 3, times: 16 },
] as const;

/** For an office whose people the operator knows, or a university behind a few addresses. */
const timesWhereTrusted = 20;

/** `trustedNetworks`: addresses and CIDRs that may do twenty times as much. */
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

/** Whether an address is one of these, or in one of these CIDRs. An address of IPv4 matches in the form of IPv6, too. */
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
