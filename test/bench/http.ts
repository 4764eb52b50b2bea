/** An HTTP client with kept connections and a cookie jar: just what the drivers need, and cheap. */
import { Agent, type IncomingHttpHeaders, request } from 'node:http';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** A browser's cookies at one server. Paths are not looked at: a jar lives for one sign-in. */
export type Jar = Map<string, string>;

export interface Send {
  method?: 'GET' | 'POST';
  path: string;
  headers?: Record<string, string>;
  form?: Record<string, string>;
  json?: object;
  jar?: Jar;
}

export type Http = (send: Send) => Promise<Answer>;

/** A client of the server at `origin`. It opens a connection for every request that finds none idle. */
export function createHttp(origin: string): Http {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  const { hostname, port } = new URL(origin);
  return ({ method, path, headers = {}, form, json, jar }) =>
    new Promise((resolve, reject) => {
      const body = form ? new URLSearchParams(form).toString() : json ? JSON.stringify(json) : undefined;
      const all: Record<string, string | number> = { ...headers };
      if (body !== undefined) {
        all['content-type'] = form ? 'application/x-www-form-urlencoded' : 'application/json';
        all['content-length'] = Buffer.byteLength(body);
      }
      if (jar && jar.size > 0) all.cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
      const options = {
        agent,
        hostname,
        port,
        path,
        headers: all,
        method: method ?? (body ? 'POST' : 'GET'),
      };
      const sent = request(options, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('error', reject);
        response.on('end', () => {
          if (jar) keepCookies(jar, response.headers['set-cookie'] ?? []);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
        });
      });
      sent.on('error', reject);
      sent.end(body);
    });
}

function keepCookies(jar: Jar, lines: string[]): void {
  for (const line of lines) {
    const pair = line.split(';', 1)[0] ?? '';
    const at = pair.indexOf('=');
    const value = pair.slice(at + 1);
    if (value === '') jar.delete(pair.slice(0, at));
    else jar.set(pair.slice(0, at), value);
  }
}

export const basic = ({ id, secret }: { id: string; secret: string }): string =>
  `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;

/** The answer, or an error that shows it where its status is another one. */
export function expectStatus(answer: Answer, ...statuses: number[]): Answer {
  if (statuses.includes(answer.status)) return answer;
  throw new Error(
    `the server answered with status ${answer.status}: ${answer.text.replace(/\s+/g, ' ').slice(0, 300)}`,
  );
}

/** Whether a failure says that the server could not serve just then, which says nothing about what it costs. */
export const wasUnavailable = (failure: string | undefined): boolean => /status 503/.test(failure ?? '');
