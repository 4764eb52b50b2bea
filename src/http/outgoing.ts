/**
 * Every request that this server makes goes out here: to addresses that apps were registered with. An address that the
 * operator wrote down may be anywhere; all others reach the public internet alone, whatever their name resolves to at
 * the moment of connecting (server-side request forgery). No redirect is followed, time and size are bounded.
 */
import { lookup as resolveName } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';

export interface OutgoingRequest {
  method?: string | undefined;
  headers?: ConstructorParameters<typeof Headers>[0] | undefined;
  body?: unknown;
  signal?: AbortSignal | null | undefined;
}

export interface OutgoingDeps {
  /** True for an address that the operator has registered: exactly this one, not its neighbours. */
  mayBePrivate(url: string): boolean | Promise<boolean>;
  timeoutMs?: number;
}

/** Has the form of `fetch`, as far as it is used. Rejects with an Error that names no more than the host. */
export type Outgoing = (url: string | URL, options?: OutgoingRequest) => Promise<Response>;

const mostBytes = 256 * 1024;
const mostMs = 2500;

export function createOutgoing({ mayBePrivate, timeoutMs = mostMs }: OutgoingDeps): Outgoing {
  return async (address, options = {}) => {
    const url = new URL(address);
    const anywhere = await mayBePrivate(url.href);
    if (url.protocol !== 'https:' && !(anywhere && url.protocol === 'http:'))
      throw new Error(`${url.host}: only https goes out`);
    const literal = url.hostname.replace(/^\[|\]$/g, '');
    // A name is looked at when it is resolved; an address never is.
    if (!anywhere && isIP(literal) && !isPublic(literal)) throw notPublic(url.hostname);
    return send(url, options, anywhere ? undefined : publicLookup, timeoutMs);
  };
}

function send(
  url: URL,
  { method = 'GET', headers, body, signal }: OutgoingRequest,
  lookup: LookupFunction | undefined,
  timeoutMs: number,
): Promise<Response> {
  const content = body === undefined || body === null ? undefined : Buffer.from(String(body));
  const limits = [AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])];
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(
      url,
      {
        method,
        headers: {
          ...Object.fromEntries(new Headers(headers)),
          ...(content ? { 'content-length': content.length } : {}),
          // Nothing is unpacked: what a few kilobytes may grow to is not ours to find out.
          'accept-encoding': 'identity',
        },
        // A connection of its own: one that is kept was checked for another request.
        agent: false,
        signal: AbortSignal.any(limits),
        ...(lookup ? { lookup } : {}),
      },
      async (answer) => {
        try {
          const chunks: Buffer[] = [];
          let bytes = 0;
          for await (const chunk of answer as AsyncIterable<Buffer>) {
            bytes += chunk.length;
            if (bytes > mostBytes) throw new Error(`${url.host}: the answer is too large`);
            chunks.push(chunk);
          }
          resolve(asResponse(answer.statusCode ?? 0, answer.headers, Buffer.concat(chunks)));
        } catch (error) {
          answer.destroy();
          reject(error);
        }
      },
    );
    request.on('error', reject);
    request.end(content);
  });
}

function asResponse(
  status: number,
  fields: Record<string, string | string[] | undefined>,
  body: Buffer,
): Response {
  if (status < 200 || status > 599) throw new Error(`the answer has the status ${status}`);
  const headers = Object.entries(fields).flatMap(([name, value]) =>
    [value ?? []].flat().map((each): [string, string] => [name, each]),
  );
  const empty = status === 204 || status === 205 || status === 304;
  return new Response(empty ? null : new Uint8Array(body), { status, headers });
}

/** Resolves a name, and fails where any of its addresses is not public: of a mixed answer nobody knows which is taken. */
const publicLookup: LookupFunction = (hostname, options, callback) => {
  resolveName(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, '', 0);
    const [first] = addresses;
    if (!first || !addresses.every(({ address }) => isPublic(address)))
      return callback(notPublic(hostname), '', 0);
    if (options.all) return callback(null, addresses);
    callback(null, first.address, first.family);
  });
};

const notPublic = (host: string): Error => new Error(`${host}: not an address of the public internet`);

/** Ranges by IANA's special-purpose registries (RFC 6890); IPv4 within IPv6 counts as what it is. */
function isPublic(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'unicast';
}
