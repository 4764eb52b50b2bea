/**
 * Settles who sent a request, and under which name this server was asked, before anything reads it. The server's own
 * name is always the issuer's, whatever Host or forwarding headers say. So no link, redirect or cookie can be made to
 * point elsewhere. The client's address is the socket's, or the forwarded one if the socket is a proxy that
 * TRUSTED_PROXIES names.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import ipaddr from 'ipaddr.js';
import { requestMemory } from '../lib/request_memory.ts';
import { createMatcher } from './networks.ts';

/** The request that a trusted proxy was asked for. */
export interface ForwardedRequest {
  method: string;
  scheme: string;
  host: string;
  /** Path and query. */
  uri: string;
}

const forwarded = requestMemory<ForwardedRequest>('forwarded request');

/**
 * Undefined unless a trusted proxy sent the request, with each of these headers present and only once. For
 * forward-auth only.
 */
export const forwardedRequest = (req: IncomingMessage): ForwardedRequest | undefined => forwarded.get(req);

export interface RequestIdentityOptions {
  issuer: string;
  /** Addresses and CIDRs. */
  trustedProxies: string[];
  /** In lower case: the header in which a proxy passes on a client's certificate. */
  certificateHeader?: string | undefined;
  /** Called for each request that came through a proxy that is not trusted. */
  onUntrustedProxy(address: string): void;
}

/** Rewrites the forwarding headers of a request in place, for Koa (and oidc-provider's own contexts) to read. */
export function createRequestIdentity({
  issuer,
  trustedProxies,
  certificateHeader,
  onUntrustedProxy,
}: RequestIdentityOptions): (req: IncomingMessage) => void {
  const { host, protocol } = new URL(issuer);
  const isTrusted = createMatcher(trustedProxies);

  function clientAddress(req: IncomingMessage): string {
    let address = req.socket.remoteAddress ?? 'unknown';
    const forwarded = String(req.headers['x-forwarded-for'] ?? '').split(',');
    // From the right: each hop was written by the proxy after it, so it is as trustworthy as that proxy.
    while (isTrusted(address) && forwarded.length > 0) {
      const hop = addressOfHop(forwarded.pop()?.trim() ?? '');
      if (hop === undefined) break;
      address = hop;
    }
    address = ipaddr.isValid(address) ? ipaddr.process(address).toString() : address;
    // Hops are left over, and no client on the internet has an inside address: so this is a proxy that is not
    // trusted.
    if (trustedProxies.length > 0 && forwarded.some((hop) => hop.trim() !== '') && isInside(address))
      onUntrustedProxy(address);
    return address;
  }

  /**
   * Whether the request came through a proxy, which its headers show. With an https issuer there must be a proxy that
   * ends TLS, because this server speaks plain HTTP.
   */
  function isProxied({ headers, url = '' }: IncomingMessage): boolean {
    if (url.startsWith('/health/')) return false;
    return protocol === 'https:' || 'x-forwarded-for' in headers || 'forwarded' in headers;
  }

  // Without trusted proxies the address is the socket's, and many requests share one socket.
  const ofSockets = new WeakMap<Socket, string>();
  function addressOf(req: IncomingMessage): string {
    if (trustedProxies.length > 0) return clientAddress(req);
    const known = ofSockets.get(req.socket) ?? clientAddress(req);
    ofSockets.set(req.socket, known);
    return known;
  }

  return (req) => {
    const peer = req.socket.remoteAddress ?? '';
    if (!isTrusted(peer) && isProxied(req) && ipaddr.isValid(peer))
      onUntrustedProxy(ipaddr.process(peer).toString());
    // The header with a client's certificate is believed only if this connection comes from a trusted proxy.
    if (certificateHeader && !isTrusted(peer)) delete req.headers[certificateHeader];
    if (isTrusted(peer)) {
      const [method = '', scheme = '', host = '', uri = ''] = ['method', 'proto', 'host', 'uri'].map((name) =>
        String(req.headers[`x-forwarded-${name}`] ?? ''),
      );
      // A header that came twice was joined with a comma, which none of these values contains.
      if (
        /^[A-Z]+$/.test(method) &&
        /^https?$/.test(scheme) &&
        host !== '' &&
        !host.includes(',') &&
        uri !== ''
      )
        forwarded.set(req, { method, scheme, host, uri });
    }
    const address = addressOf(req);
    req.headers['x-forwarded-for'] = address;
    req.headers['x-forwarded-proto'] = protocol.slice(0, -1);
    req.headers['x-forwarded-host'] = host;
    delete req.headers.forwarded;
  };
}

/**
 * The address of one hop of X-Forwarded-For. Some proxies add a port: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
 * Undefined if it is not an address.
 */
function addressOfHop(hop: string): string | undefined {
  const [, v6, v4] = /^(?:\[([^\]]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d{1,5})?$/.exec(hop) ?? [];
  const address = v6 ?? v4 ?? hop;
  // The library would also accept IPv4 as one number, or in hexadecimal.
  if (ipaddr.IPv4.isValidFourPartDecimal(address)) return address;
  return address.includes(':') && ipaddr.IPv6.isValid(address) ? address : undefined;
}

/** Whether an address is in a private network or on this machine. A client on the internet has no such address. */
const isInside = (address: string): boolean =>
  ipaddr.isValid(address) &&
  ['private', 'loopback', 'linkLocal', 'uniqueLocal', 'carrierGradeNat'].includes(
    ipaddr.parse(address).range(),
  );

/**
 * Between the scheme and the credentials of `Authorization` there may be several spaces (RFC 9110, section 11.4). The
 * code that reads the header later expects one.
 */
export function readCredentials({ headers }: IncomingMessage): void {
  const { authorization } = headers;
  if (authorization?.includes('  ')) headers.authorization = authorization.replace(/^(\S+) +/, '$1 ');
}

/** The User-Agent header, up to the length that is stored. */
export const userAgentOf = ({ req }: { req: IncomingMessage }): string =>
  String(req.headers['user-agent'] ?? '').slice(0, 200);
