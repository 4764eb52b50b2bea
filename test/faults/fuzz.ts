/**
 * Sends invalid requests to every endpoint, by every method. Paths, parameters, headers and bodies are almost right,
 * malformed, too large, or not even text. The requests follow from the seed, so that a failure can be repeated.
 */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { apps } from '../support/apps.ts';
import type { Deployment } from './deployment.ts';
import type { Random } from './random.ts';

export interface FuzzReport {
  requests: number;
  /** How many answers had each status; 0 is none. */
  statuses: Record<number, number>;
  /** Answers of 5xx, or none: each with what was sent. */
  failures: string[];
}

const methods = [
  ...Array<string>(10).fill('POST'),
  ...Array<string>(6).fill('GET'),
  ...['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD', 'PROPFIND'],
];
const steps = ['login/init', 'login/finish', 'register/init', 'register/finish', 'totp/setup'];
const paths = [
  ...[
    '/',
    '/auth',
    '/auth/x',
    '/token',
    '/token/introspection',
    '/token/revocation',
    '/me',
    '/jwks',
    '/request',
  ],
  ...[
    '/device',
    '/device/auth',
    '/backchannel',
    '/challenge',
    '/session/end',
    '/session/end/confirm',
    '/reg',
  ],
  ...['/.well-known/openid-configuration', '/.well-known/paseto-keys', '/health/live', '/assets/style.css'],
  ...[
    '/interaction/x',
    '/interaction/x/consent',
    '/interaction/x/totp/verify',
    '/interaction/x/totp/verify-setup',
  ],
  ...steps.map((step) => `/interaction/x/${step}`),
  ...['/account', '/account/sessions/end', '/account/apps/remove', '/account/password', '/account/signed-in'],
];
const names = [
  ...[
    'client_id',
    'client_secret',
    'redirect_uri',
    'response_type',
    'response_mode',
    'scope',
    'state',
    'nonce',
  ],
  ...[
    'prompt',
    'max_age',
    'claims',
    'request',
    'request_uri',
    'resource',
    'id_token_hint',
    'login_hint',
    'acr_values',
  ],
  ...[
    'code',
    'code_verifier',
    'code_challenge',
    'code_challenge_method',
    'grant_type',
    'refresh_token',
    'token',
  ],
  ...[
    'client_assertion',
    'client_assertion_type',
    'device_code',
    'user_code',
    'authorization_details',
    'ui_locales',
  ],
  ...[
    'username',
    'ke1',
    'ke3',
    'record',
    'session',
    'xsrf',
    'logout',
    'post_logout_redirect_uri',
    'dpop_jkt',
  ],
  ...['__proto__', 'constructor', 'a[b][c]', 'hasOwnProperty', ''],
];
const fitting = [
  ...Object.values(apps).flatMap((app) => [app.client_id, app.redirect_uri]),
  ...[
    'code',
    'openid',
    'openid offline_access',
    'none',
    'login',
    'consent',
    'S256',
    'query',
    'form_post',
    'jwt',
  ],
  ...[
    'authorization_code',
    'refresh_token',
    'client_credentials',
    'urn:ietf:params:oauth:grant-type:device_code',
  ],
  ...[
    'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    'v4.local.AAAA',
    'v4.public.AAAA.e30',
    '{}',
    '0',
  ],
];
const odd = [
  ...[
    '',
    ' ',
    '\u0000',
    '\ud800',
    '\u202e',
    '💩',
    '%',
    '%00',
    '%ff',
    '../../etc/passwd',
    '"',
    '<script>',
    '{',
    '[1',
  ],
  ...[
    'null',
    '-1',
    '1e309',
    '9'.repeat(30),
    'NaN',
    'true',
    '[]',
    '{"__proto__":{"x":1}}',
    '{"id_token":{"sub":1}}',
  ],
  ...[
    'eyJhbGciOiJub25lIn0.e30.',
    'eyJhbGciOiJSUzI1NiJ9.e30.AA',
    'urn:ietf:params:oauth:request_uri:x',
    '://',
    '\r\nX: y',
  ],
];
const headerNames = [
  ...[
    'authorization',
    'cookie',
    'origin',
    'accept',
    'accept-language',
    'dpop',
    'x-forwarded-for',
    'x-forwarded-proto',
  ],
  ...[
    'x-forwarded-host',
    'if-none-match',
    'range',
    'referer',
    'sec-fetch-site',
    'access-control-request-method',
  ],
];
const contentTypes = [
  ...[
    'application/x-www-form-urlencoded',
    'application/json',
    'application/x-www-form-urlencoded; charset=utf-16',
  ],
  ...['multipart/form-data; boundary=x', 'text/plain', 'application/jwt', 'a/b/c', ''],
];

interface Rubbish {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: Buffer;
}

function rubbish(random: Random): Rubbish {
  const value = (): string => {
    const drawn = random.int(0, 9);
    if (drawn < 5) return random.pick(fitting);
    if (drawn < 9) return random.pick(odd);
    return random.pick(['a', 'é', '%41', '[']).repeat(random.int(1, 500));
  };
  const parameters = () => Array.from({ length: random.int(0, 12) }, () => [random.pick(names), value()]);
  const encode = (text: string) =>
    random.chance(0.9) ? encodeURIComponent(text.toWellFormed()) : encodeURI(text.toWellFormed());
  const form = () =>
    parameters()
      .map((pair) => pair.map((part) => encode(String(part))).join('='))
      .join('&');
  const json = () => JSON.stringify(random.chance(0.8) ? Object.fromEntries(parameters()) : parameters());
  const deep = () => '[{"a":'.repeat(random.int(1, 2000));
  const bytes = () => Buffer.from(Array.from({ length: random.int(0, 200) }, () => random.int(0, 255)));

  const method = random.pick(methods);
  const query = random.chance(0.6) ? `?${form()}` : '';
  const path = random.chance(0.05) ? `/${encode(value())}` : random.pick(paths);
  const headers: Record<string, string> = {};
  for (let count = random.int(0, 4); count > 0; count--) {
    const name = random.pick(headerNames);
    // What Node's own client would refuse to send is left out.
    const text = value()
      .replace(/[^\x20-\x7e\x80-\xff]/g, '')
      .slice(0, 3000);
    const scheme = random.pick(['', 'Basic ', 'Bearer ', 'DPoP ']);
    headers[name] =
      name === 'authorization'
        ? scheme + (random.chance(0.5) ? btoa(encodeURI(text.toWellFormed())) : text)
        : text;
    if (name === 'cookie')
      headers[name] = `${random.pick(['cypher_session', 'cypher_interaction', 'cypher_step', '_x'])}=${text}`;
  }
  if (method === 'GET' || method === 'HEAD')
    return { method, path: path + query, headers, body: Buffer.alloc(0) };
  headers['content-type'] = random.pick(contentTypes);
  const plain = Buffer.from(random.pick([form, form, json, json, deep])());
  const body = random.chance(0.1) ? bytes() : plain;
  if (random.chance(0.05)) headers['content-encoding'] = random.pick(['gzip', 'br', 'x']);
  return {
    method,
    path: path + query,
    headers,
    body: headers['content-encoding'] === 'gzip' ? gzipSync(body) : body,
  };
}

/** Sends `count` requests to the ports in turn, sixteen at a time. */
export async function fuzz(
  ports: readonly number[],
  random: Random,
  count: number,
  onProgress: (sent: number) => void = () => {},
): Promise<FuzzReport> {
  const agent = new Agent({ keepAlive: true });
  const report: FuzzReport = { requests: 0, statuses: {}, failures: [] };
  async function worker(): Promise<void> {
    while (report.requests < count) {
      report.requests += 1;
      const number = report.requests;
      const sent = rubbish(random);
      const port = ports[number % ports.length] ?? 0;
      let status = await statusOf(agent, port, sent);
      // On a machine that has too much to do storage may be late: whoever hears 503 comes back.
      if (status === 503) status = await sleep(1000).then(() => statusOf(agent, port, sent));
      report.statuses[status] = (report.statuses[status] ?? 0) + 1;
      if (status === 0 || status >= 500) {
        const { method, path, headers, body } = sent;
        report.failures.push(
          JSON.stringify({ status, method, path, headers, body: body.toString('latin1') }),
        );
      }
      if (number % 1000 === 0) onProgress(number);
    }
  }
  await Promise.all(Array.from({ length: 16 }, worker));
  agent.destroy();
  return report;
}

/** The long form: against both providers of a deployment, which must not answer 5xx and must not end. */
export async function fuzzRun(
  { providers, history }: Deployment,
  random: Random,
  count: number,
  say: (line: string) => void,
): Promise<FuzzReport> {
  const begun = history.now();
  const report = await fuzz(
    providers.map(({ port }) => port),
    random,
    count,
    (sent) => sent % 10_000 === 0 && say(`${Math.round((history.now() - begun) / 1000)} s: ${sent} requests`),
  );
  const died = history.events().filter(({ type }) => type === 'died');
  return { ...report, failures: [...report.failures, ...died.map((event) => JSON.stringify(event))] };
}

function statusOf(agent: Agent, port: number, { method, path, headers, body }: Rubbish): Promise<number> {
  return new Promise((resolve) => {
    const sent = request(
      {
        ...{ agent, port, host: '127.0.0.1', method, path, timeout: 10_000 },
        headers: { ...headers, ...(body.length > 0 ? { 'content-length': String(body.length) } : {}) },
      },
      (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode ?? 0));
        response.on('error', () => resolve(0));
      },
    );
    sent.on('timeout', () => sent.destroy());
    sent.on('error', () => resolve(0));
    sent.end(body);
  });
}
