/**
 * Every request that this server makes goes out here: to addresses that apps were registered with. One that the operator
 * has chosen may be anywhere, and its caller says so; all others reach the public internet alone, whatever their name
 * resolves to at the moment of connecting (server-side request forgery). No redirect is followed; time, size and number
 * are bounded.
 */
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { createSlots } from '../lib/slots.ts';
import { isPublic } from './public_addresses.ts';
import { resolveHost } from './resolve.ts';

export interface OutgoingRequest {
  method?: string | undefined;
  headers?: ConstructorParameters<typeof Headers>[0] | undefined;
  body?: unknown;
  signal?: AbortSignal | null | undefined;
  /** Whether the operator has chosen this address: then it may be plain http and on an inner network. */
  anywhere?: boolean | undefined;
}

export interface OutgoingDeps {
  timeoutMs?: number;
  /** Which addresses strangers' requests may reach. */
  mayReach?(address: string): boolean;
}

/** Has the form of `fetch`, as far as it is used. Rejects with an Error that names no more than the host. */
export type Outgoing = (url: string | URL, options?: OutgoingRequest) => Promise<Response>;

const mostBytes = 256 * 1024;
const mostMs = 2500;

/** At once: strangers' requests keep none of the operator's waiting. */
const mostUnderWay = 64;
const mostWaiting = 256;

export function createOutgoing({ timeoutMs = mostMs, mayReach = isPublic }: OutgoingDeps = {}): Outgoing {
  const ofOperator = createSlots(mostUnderWay, mostWaiting);
  const ofStrangers = createSlots(mostUnderWay, mostWaiting);
  return async (address, { anywhere = false, ...options } = {}) => {
    const url = new URL(address);
    if (url.protocol !== 'https:' && !(anywhere && url.protocol === 'http:'))
      throw new Error(`${url.host}: only https goes out`);
    const literal = url.hostname.replace(/^\[|\]$/g, '');
    // A name is looked at when it is resolved; an address never is.
    if (!anywhere && isIP(literal) && !mayReach(literal)) throw notPublic(url.hostname);
    const limits = [AbortSignal.timeout(timeoutMs), ...(options.signal ? [options.signal] : [])];
    const signal = AbortSignal.any(limits);
    const lookup = lookupWith(signal, anywhere ? undefined : mayReach);
    const slots = anywhere ? ofOperator : ofStrangers;
    return slots(signal, () => send(url, { ...options, signal }, lookup));
  };
}

function send(
  url: URL,
  { method = 'GET', headers, body, signal }: OutgoingRequest & { signal: AbortSignal },
  lookup: LookupFunction,
): Promise<Response> {
  const content = body === undefined || body === null ? undefined : Buffer.from(String(body));
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
        signal,
        lookup,
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

/**
 * Resolves a name for one request. With `mayReach` it fails where any of its addresses may not be reached: of a mixed
 * answer nobody knows which is taken.
 */
const lookupWith =
  (signal: AbortSignal, mayReach: ((address: string) => boolean) | undefined): LookupFunction =>
  (hostname, options, callback) => {
    resolveHost(hostname, { bySystem: mayReach === undefined, signal }).then(
      (addresses) => {
        const [first] = addresses;
        if (!first || (mayReach && !addresses.every(({ address }) => mayReach(address))))
          return callback(notPublic(hostname), '', 0);
        if (options.all) return callback(null, addresses);
        callback(null, first.address, first.family);
      },
      (error: Error) => callback(error, '', 0),
    );
  };

const notPublic = (host: string): Error => new Error(`${host}: not an address of the public internet`);
