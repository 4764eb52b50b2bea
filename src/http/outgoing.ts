/**
 * Sends every request that this server makes to other servers, at addresses that apps were registered with. An
 * address that the operator has chosen may be anywhere. All others may reach only the public internet, whatever their
 * name resolves to at the moment of connecting: this prevents server-side request forgery. Redirects are not
 * followed. Time, size and number are bounded.
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
  /** Whether the operator has chosen this address. Then it may be plain http and in an internal network. */
  anywhere?: boolean | undefined;
}

export interface OutgoingDeps {
  timeoutMs?: number;
  /** Which addresses may be reached, unless the operator chose them. */
  mayReach?(address: string): boolean;
}

/** Like `fetch`, as far as it is used here. Rejects with an Error that names no more than the host. */
export type Outgoing = (url: string | URL, options?: OutgoingRequest) => Promise<Response>;

const mostBytes = 256 * 1024;
const mostMs = 2500;

/** Concurrently, for each of two groups: so requests to strangers' addresses never delay those to the operator's. */
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
    // A name is checked when it is resolved. A literal address is never resolved, so it is checked here.
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
          // No compression: a few kilobytes could unpack to any size.
          'accept-encoding': 'identity',
        },
        // A new connection each time: the address of a kept one was checked for another request.
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
 * Resolves a name for one request. With `mayReach` it fails if any of the addresses may not be reached, because
 * nobody knows which of them will be used.
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
