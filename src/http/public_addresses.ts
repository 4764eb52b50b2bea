/** Which addresses belong to the public internet. Pure. */
import ipaddr from 'ipaddr.js';

const globalUnicast = ipaddr.parseCIDR('2000::/3') as [ipaddr.IPv6, number];

/**
 * Whether an IP address is public, by IANA's special-purpose registries (RFC 6890). Of IPv6 only global unicast
 * (2000::/3) is public, without the forms there that contain an IPv4 address (6to4, Teredo): others decide where
 * these lead. The other forms of IPv4 in IPv6 (mapped, compatible, NAT64) lie outside of that range. A mapped address
 * counts as its IPv4 address.
 */
export function isPublic(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== 'unicast') return false;
  return parsed.kind() === 'ipv4' || (parsed as ipaddr.IPv6).match(globalUnicast);
}
