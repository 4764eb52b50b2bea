/**
 * Who asks, and under which name we are asked: settled once per request, before anything reads it. Our own name is the
 * issuer's, whatever Host or forwarding headers say, so that no link, redirect or cookie can be made to point elsewhere.
 * The client's address is the socket's, or the forwarded one where the socket is a proxy named in TRUSTED_PROXIES.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import ipaddr from 'ipaddr.js';
import { requestMemory } from '../lib/request_memory.ts';
import { createMatcher } from './networks.ts';

/** What a trusted proxy says it was asked for. */
export interface ForwardedRequest {
  method: string;
  scheme: string;
  host: string;
  /** Path and query. */
  uri: string;
}

const forwarded = requestMemory<ForwardedRequest>('forwarded request');

/** Undefined unless a trusted proxy has sent the request, and says it in full and once. For forward-auth alone. */
export const forwardedRequest = (req: IncomingMessage): ForwardedRequest | undefined => forwarded.get(req);

export interface RequestIdentityOptions {
  issuer: string;
  /** Addresses and CIDRs. */
  trustedProxies: string[];
  /** In lower case: the header in which a proxy passes a client's certificate on. */
  certificateHeader?: string | undefined;
  /** Called for each request that came by a proxy which is not trusted. */
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
    // From the right: each hop was written by the proxy after it, and is worth as much as that proxy is trusted.
    while (isTrusted(address) && forwarded.length > 0) {
      const hop = addressOfHop(forwarded.pop()?.trim() ?? '');
      if (hop === undefined) break;
      address = hop;
    }
    address = ipaddr.isValid(address) ? ipaddr.process(address).toString() : address;
    // Somebody was forwarded by an address that no client from elsewhere has.
    if (trustedProxies.length > 0 && forwarded.some((hop) => hop.trim() !== '') && isInside(address))
      onUntrustedProxy(address);
    return address;
  }

  /** A proxy in front says so in a header. One that ends TLS must be there, for this server speaks plain HTTP. */
  function isProxied({ headers, url = '' }: IncomingMessage): boolean {
    if (url.startsWith('/health/')) return false;
    return protocol === 'https:' || 'x-forwarded-for' in headers || 'forwarded' in headers;
  }

  // Without proxies the address is the socket's, whatever a request says, and many requests come by one socket.
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
    // What is said of a client's certificate is believed of the proxy that this connection comes from, and of nobody else.
    if (certificateHeader && !isTrusted(peer)) delete req.headers[certificateHeader];
    if (isTrusted(peer)) {
      const [method = '', scheme = '', host = '', uri = ''] = ['method', 'proto', 'host', 'uri'].map((name) =>
        String(req.headers[`x-forwarded-${name}`] ?? ''),
      );
      // One that came twice was joined with a comma, which neither of these has.
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
 * The address of one hop of X-Forwarded-For, which some proxies write with a port: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
 * Undefined for what is no address.
 */
function addressOfHop(hop: string): string | undefined {
  const [, v6, v4] = /^(?:\[([^\]]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d{1,5})?$/.exec(hop) ?? [];
  const address = v6 ?? v4 ?? hop;
  // Of one number, or of hexadecimal ones, the library would make an address too.
  if (ipaddr.IPv4.isValidFourPartDecimal(address)) return address;
  return address.includes(':') && ipaddr.IPv6.isValid(address) ? address : undefined;
}

/** Whether an address is of a private network or of this machine: a client from elsewhere has none of these. */
const isInside = (address: string): boolean =>
  ipaddr.isValid(address) &&
  ['private', 'loopback', 'linkLocal', 'uniqueLocal', 'carrierGradeNat'].includes(
    ipaddr.parse(address).range(),
  );

/**
 * Between the scheme of `Authorization` and the credentials there may be any number of spaces (RFC 9110, section 11.4). Those
 * who read the header here expect one.
 */
export function readCredentials({ headers }: IncomingMessage): void {
  const { authorization } = headers;
  if (authorization?.includes('  ')) headers.authorization = authorization.replace(/^(\S+) +/, '$1 ');
}

/** What the browser calls itself, as far as it is kept. */
export const userAgentOf = ({ req }: { req: IncomingMessage }): string =>
  String(req.headers['user-agent'] ?? '').slice(0, 200);
