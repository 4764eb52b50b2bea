/** Which addresses belong to the public internet. Pure. */
import ipaddr from 'ipaddr.js';

const globalUnicast = ipaddr.parseCIDR('2000::/3') as [ipaddr.IPv6, number];

/**
 * Whether an IP address is public, by IANA's special-purpose registries (RFC 6890). Of IPv6 only global unicast (2000::/3)
 * counts, and nothing there that carries an IPv4 address within (6to4, Teredo): what such an address leads to is decided
 * elsewhere. The other forms of IPv4 in IPv6 (mapped, compatible, NAT64) lie outside of it. A mapped one counts as its IPv4.
 */
export function isPublic(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== 'unicast') return false;
  return parsed.kind() === 'ipv4' || (parsed as ipaddr.IPv6).match(globalUnicast);
}
