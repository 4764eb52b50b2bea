/**
 * The routes of src/oidc/library/routes/lean_steps.ts beside the library's own: one store, the same requests to both, the same answers,
 * headers and events. Every request is made twice, for what is found out at the first is used at the second.
 */
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import Provider, { type Configuration } from 'oidc-provider';
// @ts-expect-error: not part of the library's types.
import Router from 'oidc-provider/lib/helpers/router.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withOurRoutes } from '../../src/oidc/library/routes/routes.ts';

const issuer = 'http://localhost:1';
const secret = 'a-secret-0123456789abcdef0123456789abcdef';
const key = await exportJWK((await generateKeyPair('RS256', { extractable: true })).privateKey);
const machine = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };
const clients = [
  { client_id: 'basic', client_secret: secret },
  { client_id: 'post', client_secret: secret, token_endpoint_auth_method: 'client_secret_post' },
  { client_id: 'jwt', client_secret: secret, token_endpoint_auth_method: 'client_secret_jwt' },
  { client_id: 'signed', client_secret: secret, introspection_signed_response_alg: 'RS256' },
  { client_id: 'public', token_endpoint_auth_method: 'none' },
  { client_id: 'nothing', client_secret: secret, grant_types: [] },
].map((client) => ({ ...machine, ...client })) as NonNullable<Configuration['clients']>;

interface Served {
  provider: Provider;
  server: Server;
  port: number;
  events: string[];
}

const stored = new Map<string, object>();
const build = () =>
  new Provider(issuer, {
    clients,
    adapter: (() => ({
      upsert: async (id: string, payload: object) => void stored.set(id, payload),
      find: async (id: string) => stored.get(id),
      findByUid: async () => undefined,
      consume: async () => {},
      destroy: async (id: string) => void stored.delete(id),
      revokeByGrantId: async () => {},
    })) as never,
    cookies: { keys: ['x'] },
    jwks: { keys: [key] },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'none'],
    enabledJWA: { introspectionSigningAlgValues: ['RS256'] },
    ttl: { ClientCredentials: 900 },
    clientBasedCORS: (_ctx, origin) => origin === 'https://page.example',
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      jwtIntrospection: { enabled: true },
      dPoP: { enabled: true, nonceSecret: Buffer.alloc(32), requireNonce: () => false },
      resourceIndicators: {
        enabled: true,
        defaultResource: async (_ctx, _client, oneOf) => oneOf ?? [],
        getResourceServerInfo: async () => ({ scope: 'read write' }),
      },
    },
  });

async function serve(provider: Provider): Promise<Served> {
  provider.silent = true;
  const server = createServer(provider.callback()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const events: string[] = [];
  const emit = provider.emit;
  provider.emit = (name, ...args: unknown[]) => {
    const [, error] = args as [unknown, { error?: string; error_detail?: string } | undefined];
    events.push([name, error?.error, error?.error_detail].join(' '));
    return emit.call(provider, name, ...args);
  };
  return { provider, server, port: (server.address() as AddressInfo).port, events };
}

let whole: Served;
let lean: Served;
beforeAll(async () => {
  whole = await serve(build());
  lean = await serve(withOurRoutes(build));
});
afterAll(() => {
  for (const { server } of [whole, lean]) server.close();
});

interface Sent {
  method?: string;
  path: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  chunked?: boolean;
}

async function send({ port }: Served, { method = 'POST', path, headers = {}, body, chunked }: Sent) {
  const type = body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' };
  const length = body === undefined || chunked ? {} : { 'content-length': Buffer.byteLength(body) };
  const sent = request({ port, method, path, headers: { ...type, ...length, ...headers } });
  if (chunked) sent.write(body);
  sent.end(chunked ? undefined : body);
  const [answer] = await once(sent, 'response');
  return { status: answer.statusCode, headers: answer.headers, text: (await buffer(answer)).toString() };
}

/** What is random or of this instant, taken out. */
function plain({ status, headers, text }: Awaited<ReturnType<typeof send>>) {
  const { date: _, 'content-length': __, ...rest } = headers;
  const fixed = text
    .replace(/"access_token":"[\w-]{43}"/, '"access_token":"…"')
    .replace(/^eyJ[\w.-]+$/, (jwt) => Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())
    .replace(/"iat":\d+/g, '"iat":0');
  return { status, headers: { ...rest, 'dpop-nonce': typeof rest['dpop-nonce'] }, text: fixed };
}

const basic = (id: string, password = secret) => ({
  authorization: `Basic ${Buffer.from(`${id}:${password}`).toString('base64')}`,
});
const form = (fields: Record<string, string> | [string, string][]) => new URLSearchParams(fields).toString();
const assertion = (over: object = {}) =>
  new SignJWT({ iss: 'jwt', sub: 'jwt', aud: issuer, jti: `${Math.random()}`, ...over })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuedAt()
    .setExpirationTime('1m')
    .sign(Buffer.from(secret));
const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Every way in which a client may say who it is, right and wrong. */
async function authentications(): Promise<[string, Pick<Sent, 'headers'>, Record<string, string>][]> {
  return [
    ['basic', { headers: basic('basic') }, {}],
    ['basic, and its id again', { headers: basic('basic') }, { client_id: 'basic' }],
    ['basic, and another id', { headers: basic('basic') }, { client_id: 'post' }],
    ['post', {}, { client_id: 'post', client_secret: secret }],
    ['post, of a client of basic', {}, { client_id: 'basic', client_secret: secret }],
    ['two ways at once', { headers: basic('basic') }, { client_id: 'basic', client_secret: secret }],
    ['an assertion', {}, { client_assertion: await assertion(), client_assertion_type: assertionType }],
    [
      'an assertion for others',
      {},
      { client_assertion: await assertion({ aud: 'x' }), client_assertion_type: assertionType },
    ],
    ['an assertion of no type', {}, { client_assertion: await assertion() }],
    ['a public client', {}, { client_id: 'public' }],
    ['a client that may do nothing', { headers: basic('nothing') }, {}],
    ['a client of signed answers', { headers: basic('signed') }, {}],
    ['a wrong secret', { headers: basic('basic', 'wrong') }, {}],
    ['an empty secret', { headers: basic('basic', '') }, {}],
    ['an unknown client', { headers: basic('nobody') }, {}],
    ['a broken header', { headers: { authorization: 'Basic ===' } }, {}],
    ['another scheme', { headers: { authorization: 'Bearer x' } }, {}],
    ['nobody', {}, {}],
  ];
}

const tokens = async (): Promise<[string, Record<string, string>][]> => {
  const token = (clientId: string) =>
    new whole.provider.ClientCredentials({ client: { clientId } as never, scope: 'read' } as never).save();
  return [
    ['its token', { token: await token('basic') }],
    ['another client’s token', { token: await token('post') }],
    ['a hint', { token: await token('basic'), token_type_hint: 'access_token' }],
    ['a wrong hint', { token: await token('basic'), token_type_hint: 'refresh_token' }],
    ['an unknown hint', { token: await token('basic'), token_type_hint: 'tea' }],
    ['a token that is none', { token: 'v4.local.abc.def' }],
    ['a JWT', { token: await assertion() }],
    ['three parts that are no JWT', { token: 'a.b.c' }],
    ['five parts that are no JWE', { token: 'a.b.c.d.e' }],
    ['an empty token', { token: '' }],
    ['no token', {}],
  ];
};

const grants: [string, Record<string, string>][] = [
  ['client credentials', { grant_type: 'client_credentials' }],
  ['a scope', { grant_type: 'client_credentials', scope: 'openid' }],
  ['a scope of other letters', { grant_type: 'client_credentials', scope: '"' }],
  ['an API', { grant_type: 'client_credentials', resource: 'https://api.example', scope: 'read' }],
  ['an API that is none', { grant_type: 'client_credentials', resource: 'x' }],
  ['parameters of another grant', { grant_type: 'client_credentials', code: 'x', refresh_token: 'y' }],
  ['a code that is none', { grant_type: 'authorization_code', code: 'x', redirect_uri: 'https://x' }],
  ['a grant that there is not', { grant_type: 'password' }],
  ['a grant that Object has', { grant_type: '__proto__' }],
  ['no grant', {}],
];

/** What any endpoint may be sent; `body` is a request that it answers well. */
function strange(path: string, body: string): [string, Sent][] {
  const headers = basic('basic');
  const type = (text: string) => ({ ...headers, 'content-type': text });
  const plainType = 'application/x-www-form-urlencoded';
  return [
    ['chunks', { path, headers, body, chunked: true }],
    ['a charset', { path, headers: type(`${plainType}; charset=utf-8`), body }],
    [
      'a charset, written otherwise',
      { path, headers: type('application/X-WWW-form-urlencoded;charset=UTF-8'), body },
    ],
    [
      'a charset and a byte order mark',
      { path, headers: type(`${plainType};charset=utf-8`), body: `\uFEFF${body}` },
    ],
    ['a byte order mark', { path, headers, body: `\uFEFF${body}` }],
    ['another charset', { path, headers: type(`${plainType}; charset=latin1`), body: `${body}&scope=\xe9` }],
    ['a charset that there is not', { path, headers: type(`${plainType}; charset=x`), body }],
    ['JSON', { path, headers: type('application/json'), body: '{}' }],
    ['no type', { path, headers: type(''), body }],
    ['no body', { path, headers }],
    ['an empty body', { path, headers, body: '' }],
    ['each parameter twice', { path, headers, body: `${body}&${body}` }],
    ['a secret twice', { path, headers: {}, body: `${body}&client_id=post&client_secret=a&client_secret=b` }],
    ['two parameters twice', { path, headers, body: `${body}&client_id=a&client_id=b&scope=a&scope=b` }],
    ['a parameter that nobody knows, twice', { path, headers, body: `${body}&x=1&x=2&__proto__=1` }],
    ['parameters without values', { path, headers, body: `${body}&scope&client_id=&&=` }],
    [
      'what is not UTF-8',
      { path, headers, body: Buffer.concat([Buffer.from(`${body}&scope=`), Buffer.from([255])]) },
    ],
    ['a broken escape', { path, headers, body: `${body}&scope=%E0%A4%A` }],
    ['1,100 parameters', { path, headers, body: `${'a=1&'.repeat(1100)}${body}` }],
    ['57,344 bytes', { path, headers, body: `${body}&x=`.padEnd(57_344, 'x') }],
    ['57,345 bytes', { path, headers, body: `${body}&x=`.padEnd(57_345, 'x') }],
    ['57,345 bytes in chunks', { path, headers, body: `${body}&x=`.padEnd(57_345, 'x'), chunked: true }],
    ['a page of an app', { path, headers: { ...headers, origin: 'https://page.example' }, body }],
    ['a page of somebody else', { path, headers: { ...headers, origin: 'https://evil.example' }, body }],
    ['GET', { method: 'GET', path: `${path}?${body}`, headers }],
    [
      'OPTIONS',
      { method: 'OPTIONS', path, headers: { origin: 'https://x', 'access-control-request-method': 'POST' } },
    ],
    ['the parameters in the address', { path: `${path}?${body}`, headers, body: 'x=1' }],
    ['another writing of the path', { path: `${path.toUpperCase()}/`, headers, body }],
    ['a DPoP proof that is none', { path, headers: { ...headers, dpop: 'x' }, body }],
    ...[
      '*/*',
      'application/json',
      'text/html',
      'application/token-introspection+jwt',
      'image/png',
      '',
    ].flatMap((accept): [string, Sent][] => [
      [`Accept: ${accept}`, { path, headers: { ...headers, accept }, body }],
      [
        `Accept: ${accept}, where answers may be signed`,
        { path, headers: { ...basic('signed'), accept }, body },
      ],
      [`Accept: ${accept}, and a fault`, { path, headers: { accept }, body }],
    ]),
  ];
}

async function cases(path: string): Promise<[string, Sent][]> {
  const inputs = path === '/token' ? grants : await tokens();
  const [, good = {}] = inputs[0] ?? [];
  const who = await authentications();
  return [
    ...inputs.flatMap(([what, fields]) =>
      who.map(([as, { headers }, own]): [string, Sent] => [
        `${what}, ${as}`,
        { path, body: form({ ...fields, ...own }), ...(headers && { headers }) },
      ]),
    ),
    ...strange(path, form(good)),
  ];
}

for (const path of ['/token/introspection', '/token', '/token/revocation']) {
  test(`${path}: each request is answered as the library answers it, the first and the second time`, async () => {
    let told = 0;
    for (const round of [1, 2])
      for (const [what, sent] of await cases(path)) {
        const before = new Map(stored);
        const answers: object[] = [];
        for (const served of [whole, lean]) {
          // A revoked token, or an assertion that was used, is there again for the other one.
          stored.clear();
          for (const entry of before) stored.set(...entry);
          served.events.length = 0;
          const answer = plain(await send(served, sent));
          answers.push({ ...answer, events: [...served.events], kept: stored.size });
          told += served.events.length;
        }
        expect.soft(answers[1], `${what} (${round})`).toEqual(answers[0]);
      }
    expect(told).toBeGreaterThan(200);
  });
}

/** The same order for the same seed. */
function shuffled<T>(items: T[], seed: number): T[] {
  let state = seed;
  const random = () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state / 2147483648;
  };
  return items
    .map((item) => ({ item, at: random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item);
}

test.each([1, 2, 3, 4, 5, 6])(
  'whatever comes first, no later request is answered otherwise: order %i',
  async (seed) => {
    const fresh = await serve(withOurRoutes(build));
    const all = (
      await Promise.all(['/token', '/token/introspection', '/token/revocation'].map(cases))
    ).flat();
    // Revoked tokens and used assertions would tell the two apart.
    const repeatable = all.filter(
      ([, { path, body }]) => path !== '/token/revocation' && !String(body).includes('assertion'),
    );
    for (const [what, sent] of shuffled(repeatable, seed).slice(0, 150)) {
      const [expected, answer] = await Promise.all([whole, fresh].map((served) => send(served, sent)));
      if (expected && answer) expect.soft(plain(answer), what).toEqual(plain(expected));
    }
    fresh.server.close();
  },
);

test('the library’s router is as it was once a provider is built, and where one cannot be', () => {
  const methods = () => ['get', 'post', 'put', 'delete', 'options'].map((name) => Router.prototype[name]);
  const before = methods();
  withOurRoutes(build);
  expect(methods()).toEqual(before);
  const fails = () =>
    withOurRoutes(() => {
      expect(methods()).not.toEqual(before);
      throw new Error('cannot be built');
    });
  expect(fails).toThrow('cannot be built');
  expect(methods()).toEqual(before);
});

test('a connection that ends within a body is left behind, and the next request is answered', async () => {
  for (const served of [whole, lean]) {
    const refused = new Promise((resolve) =>
      served.provider.once('grant.error', (_ctx, error) => resolve(error)),
    );
    const socket = connect(served.port, '127.0.0.1');
    const type = 'content-type: application/x-www-form-urlencoded';
    socket.write(`POST /token HTTP/1.1\r\nhost: x\r\n${type}\r\ncontent-length: 100\r\n\r\ngrant_type=`);
    setTimeout(() => socket.destroy(), 50);
    expect(await refused).toMatchObject({
      error: 'invalid_request',
      error_description: 'failed to parse the request body',
    });
    const body = 'grant_type=client_credentials';
    expect((await send(served, { path: '/token', headers: basic('basic'), body })).status).toBe(200);
  }
});

test('a request’s context has no accessor of its own, by which V8 would keep the whole request', async () => {
  const seen = new Promise<object>((resolve) => lean.provider.once('grant.success', resolve));
  await send(lean, { path: '/token', headers: basic('basic'), body: 'grant_type=client_credentials' });
  const accessors = Object.values(Object.getOwnPropertyDescriptors(await seen)).filter(({ get }) => get);
  expect(accessors).toEqual([]);
});
