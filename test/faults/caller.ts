/** Sends requests to either provider, and writes each request with its answer into the history. */
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { sha256 } from '../../src/lib/crypto.ts';
import type { Call, History } from './history.ts';

export interface Sent {
  method?: 'GET' | 'POST';
  path: string;
  headers?: Record<string, string>;
  /** An object is sent as JSON, a URLSearchParams as a form. */
  body?: object | URLSearchParams;
}

/** `status` 0: no answer came. */
export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  json: Record<string, unknown>;
}

/** What is written about a call beside the request's own facts. */
export type About = Pick<Call, 'op'> &
  Partial<
    Pick<Call, 'uses' | 'presents' | 'subjects' | 'honestSince' | 'mustFail' | 'repeats' | 'creates'>
  > & {
    /** Whether it got what it asked for; a 2xx or 3xx unless told. */
    success?(answer: Answer): boolean;
    /** The refresh token in the answer. */
    yields?(answer: Answer): string | undefined;
  };

export interface Caller {
  call(via: number, about: About, sent: Sent): Promise<Answer>;
  now(): number;
}

const longestWaitMs = 8000;

/** Names a secret in the history without telling it. */
export const fingerprint = (secret: string): string => sha256(secret).slice(0, 16);

export function createCaller(ports: number[], history: History, actor: number): Caller {
  const agent = new Agent({ keepAlive: true });
  return {
    now: history.now,
    async call(via, { success = isSuccess, yields, ...about }, sent) {
      const at = history.now();
      const answer = await send(agent, ports[via] ?? 0, sent);
      const retryAfter = answer.headers['retry-after'];
      const succeeded = isSuccess(answer) && success(answer);
      const text = succeeded ? yields?.(answer) : undefined;
      history.add({
        type: 'call',
        at,
        ms: Math.round((history.now() - at) * 10) / 10,
        actor,
        via,
        status: answer.status,
        ...(typeof answer.json.error === 'string' ? { error: answer.json.error } : {}),
        ...(retryAfter ? { retryAfter } : {}),
        succeeded,
        ...about,
        ...(text ? { yields: fingerprint(text), sealedBy: fingerprint(text.split('.')[3] ?? '') } : {}),
      });
      return answer;
    },
  };
}

const isSuccess = ({ status }: Answer): boolean => status >= 200 && status < 400;

function send(agent: Agent, port: number, { method, path, headers = {}, body }: Sent): Promise<Answer> {
  const isForm = body instanceof URLSearchParams;
  const text = body === undefined ? '' : isForm ? body.toString() : JSON.stringify(body);
  const type = isForm ? 'application/x-www-form-urlencoded' : 'application/json';
  return new Promise((resolve) => {
    const none = () => resolve({ status: 0, headers: {}, text: '', json: {} });
    const asked = request(
      {
        ...{ agent, port, host: '127.0.0.1', path, method: method ?? (body ? 'POST' : 'GET') },
        headers: {
          ...(body ? { 'content-type': type, 'content-length': String(Buffer.byteLength(text)) } : {}),
          ...headers,
        },
        timeout: longestWaitMs,
      },
      (response) => {
        let received = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => {
          received += chunk;
        });
        response.on('error', none);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: received,
            json: parsed(received),
          }),
        );
      },
    );
    asked.on('timeout', () => asked.destroy());
    asked.on('error', none);
    asked.end(text);
  });
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
