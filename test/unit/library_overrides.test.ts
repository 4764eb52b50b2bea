/**
 * What the overrides in src/oidc/library/ take for granted of oidc-provider, one test each: that what is replaced is there, and
 * that the library uses it in the way the override relies on. docs/develop/library-overrides.md says for each override which
 * test this is; the last tests hold that page and the code together.
 */

import { readdir, readFile } from 'node:fs/promises';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { join } from 'node:path';
import Provider, { errors } from 'oidc-provider';
// @ts-expect-error: not part of the library's types.
import { confirm } from 'oidc-provider/lib/actions/end_session.js';
// @ts-expect-error: not part of the library's types.
import als from 'oidc-provider/lib/helpers/als.js';
import * as grantHelpers from 'oidc-provider/lib/helpers/grants.js';
// @ts-expect-error: not part of the library's types.
import Router from 'oidc-provider/lib/helpers/router.js';
// @ts-expect-error: not part of the library's types.
import { findToken } from 'oidc-provider/lib/helpers/token_find.js';
import request from 'supertest';
import { describe, expect, test, vi } from 'vitest';
import { createHolder } from '../../src/lib/current.ts';
import { createAnonymousForms } from '../../src/oidc/library/routes/anonymous_forms.ts';
import { changedSteps } from '../../src/oidc/library/routes/changed_steps.ts';
import { settling } from '../../src/oidc/library/routes/routes.ts';
import { nameOf } from '../../src/oidc/library/routes/step.ts';
import { root } from '../../src/root.ts';
import { bareProvider } from '../support/bare_provider.ts';

const secret = 'a-secret-0123456789abcdef0123456789abcdef';
const app = { client_id: 'app', client_secret: secret, redirect_uris: ['https://app.example/'] };
const api = {
  ...app,
  client_id: 'api',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
};
const everything = {
  backchannelLogout: { enabled: true },
  ciba: { enabled: true, deliveryModes: ['ping'] },
  clientCredentials: { enabled: true },
  deviceFlow: { enabled: true },
  introspection: { enabled: true, allowedPolicy: () => true },
  jwtIntrospection: { enabled: true },
  pushedAuthorizationRequests: { enabled: true },
  registration: { enabled: true },
  registrationManagement: { enabled: true },
  revocation: { enabled: true, allowedPolicy: () => true },
  richAuthorizationRequests: { enabled: true, types: {} },
  rpInitiatedLogout: { enabled: true },
};
const clients = [{ ...app, grant_types: ['authorization_code', 'refresh_token'] }, api] as never;

/** A member that the library's types leave out. */
const inside = (of: object): Record<string, never> & { prototype: Record<string, never> } => of as never;

const asApi = (provider: Provider, path: string, fields: object) =>
  request(provider.callback()).post(path).auth('api', secret).type('form').send(fields);

test('models/access_token.ts: a token is looked for by `find` of each model, with the text alone', async () => {
  const { provider } = bareProvider(new Map(), Provider, everything, { clients });
  const asked: unknown[] = [];
  for (const name of ['AccessToken', 'ClientCredentials', 'RefreshToken'] as const)
    Object.assign(provider[name], {
      find: async (...args: unknown[]) => void asked.push([name, ...args]),
    });
  await findToken(provider, 'a text', undefined);
  expect(asked.sort()).toEqual(
    ['AccessToken', 'ClientCredentials', 'RefreshToken'].map((name) => [name, 'a text']),
  );
});

test('models/access_token.ts: what `save` resolves with is the token, and nothing else of it is read', async () => {
  const { provider, calls } = bareProvider(new Map(), Provider, everything, { clients });
  Object.assign(provider.ClientCredentials.prototype, { save: async () => 'a sealed text' });
  const { body } = await asApi(provider, '/token', { grant_type: 'client_credentials' });
  expect(body).toMatchObject({ access_token: 'a sealed text', expires_in: 900 });
  expect(calls).toEqual([]);
});

test('models/grant.ts: introspection asks of a grant whether it is there, has expired, and whose it is', async () => {
  const { provider } = bareProvider(new Map(), Provider, everything, { clients });
  const token = { clientId: 'app', accountId: 'ada', grantId: 'g', kind: 'AccessToken', isValid: true };
  Object.assign(provider.AccessToken, {
    find: async () => ({ ...token, isSenderConstrained: () => false, tokenType: 'Bearer' }),
  });
  const read = new Set<string | symbol>();
  let asked: unknown[] = [];
  Object.assign(provider.Grant, {
    async find(...args: unknown[]) {
      asked = args;
      return new Proxy(
        { isExpired: false, clientId: 'app', accountId: 'ada' },
        {
          get(of, name) {
            read.add(name);
            return Reflect.get(of, name);
          },
        },
      );
    },
  });
  const { body } = await asApi(provider, '/token/introspection', { token: 'x' });
  expect(body).toMatchObject({ active: true, client_id: 'app' });
  expect(asked).toEqual(['g', { ignoreExpiration: true }]);
  read.delete('then');
  expect([...read].sort()).toEqual(['accountId', 'clientId', 'isExpired']);
});

describe.each(['AuthorizationCode', 'DeviceCode', 'BackchannelAuthenticationRequest'] as const)(
  'models/code.ts: %s',
  (name) => {
    test('`find` binds a code to its session’s newest grant, unless it is told not to; `consume` asks the adapter', async () => {
      const { provider, calls } = bareProvider(new Map(), Provider, everything, {
        clients,
        ttl: { DeviceCode: 60, BackchannelAuthenticationRequest: 60, AuthorizationCode: 60 },
      });
      const session = new provider.Session();
      Object.assign(session, { accountId: 'ada', authorizations: { app: { grantId: 'another' } } });
      await (session as unknown as { save(ttl: number): Promise<void> }).save(60);
      const Model = provider[name] as unknown as {
        new (payload: object): { save(): Promise<string>; consume(): Promise<void> };
        find(value: string, options?: object): Promise<object | undefined>;
      };
      const code = new Model({
        ...{ accountId: 'ada', clientId: 'app', grantId: 'g' },
        ...{ sessionUid: session.uid, expiresWithSession: true },
      });
      const text = await code.save();
      expect(await Model.find(text)).toBeUndefined();
      expect(await Model.find(text, { ignoreSessionBinding: true })).toMatchObject({
        grantId: 'g',
        kind: name,
      });
      await code.consume();
      expect(calls.at(-1)).toBe(`${name}.consume`);
    });
  },
);

test('models/interaction.ts: one is stored by `save`, which alone sets `exp`, and found with what an answer changes', async () => {
  const { provider, calls } = bareProvider();
  const Model = inside(provider.Interaction) as unknown as {
    new (
      id: string,
      payload: object,
    ): { exp?: number; uid: string; save(ttl: number): Promise<void>; destroy(): Promise<void> };
    find(id: string): Promise<object>;
  };
  const made = new Model('an id', { session: { uid: 'u' }, params: {}, prompt: {}, returnTo: 'x' });
  expect(made).toMatchObject({ uid: 'an id' });
  expect(made.exp).toBeUndefined();
  Object.assign(made, { result: { login: {} }, deviceCode: 'd' });
  await made.save(60);
  expect(made.exp).toBeTypeOf('number');
  expect(await Model.find('an id')).toMatchObject({
    session: { uid: 'u' },
    result: { login: {} },
    deviceCode: 'd',
  });
  await made.destroy();
  expect(calls).toEqual(['Interaction.upsert', 'Interaction.destroy']);
});

test('models/client.ts: what is replaced and called is there, and asked where a client authenticates', async () => {
  const { provider } = bareProvider(new Map(), Provider, everything, { clients });
  const Client = inside(provider.Client);
  for (const name of ['find', 'validate', 'needsSecret'])
    expect([name, typeof Client[name]]).toEqual([name, 'function']);
  for (const name of ['redirectUriAllowed', 'postLogoutRedirectUriAllowed', 'compareClientSecret'])
    expect([name, typeof Client.prototype[name]]).toEqual([name, 'function']);
  expect(typeof inside(Client.Schema as never).prototype.scopes).toBe('function');
  const { provider: other } = bareProvider(
    new Map(),
    Provider,
    {},
    {
      clients: [{ ...app, token_endpoint_auth_method: 'client_secret_jwt' }],
      clientAuthMethods: ['client_secret_jwt'],
    },
  );
  const { symmetricKeyStore: keys } = (await other.Client.find('app')) as unknown as {
    symmetricKeyStore: Iterable<object> & { add: unknown };
  };
  expect([typeof keys.add, [...keys].length > 0]).toEqual(['function', true]);
  const compared: unknown[] = [];
  Client.prototype.compareClientSecret = ((given: string) => compared.push(given) === 1) as never;
  expect((await asApi(provider, '/token', { grant_type: 'client_credentials' })).status).toBe(200);
  expect((await asApi(provider, '/token', { grant_type: 'client_credentials' })).status).toBe(401);
  expect(compared).toEqual([secret, secret]);
});

test('models/client.ts: `redirectUriAllowed` decides over an address, and `noManage` and `clientSecret` over a registration', async () => {
  const { provider } = bareProvider(new Map(), Provider, everything, { clients });
  const allowed = vi.fn(() => false);
  inside(provider.Client).prototype.redirectUriAllowed = allowed as never;
  const query = {
    client_id: 'app',
    response_type: 'code',
    redirect_uri: 'https://app.example/',
    scope: 'openid',
  };
  expect((await request(provider.callback()).get('/auth').query(query)).status).toBe(400);
  expect(allowed).toHaveBeenCalledWith('https://app.example/');
  const registration = await readFile(
    join(root, 'node_modules/oidc-provider/lib/actions/registration.js'),
    'utf8',
  );
  expect(registration.match(/oidc\.client\.noManage/g)).toHaveLength(3);
  expect(registration).toContain('ctx.oidc.client.clientSecret');
});

test('models/client_keys.ts: a key store asks `fresh` and `refresh`, and notes `freshUntil` of the answer', async () => {
  let fetched = 0;
  const { provider } = bareProvider(
    new Map(),
    Provider,
    {},
    {
      clients: [
        {
          ...app,
          client_secret: undefined,
          token_endpoint_auth_method: 'private_key_jwt',
          jwks_uri: 'https://app.example/keys',
        },
      ] as never,
      clientAuthMethods: ['private_key_jwt'],
      fetch: (async () => {
        fetched += 1;
        return Response.json({ keys: [] }, { headers: { 'cache-control': 'max-age=600' } });
      }) as never,
    },
  );
  const { asymmetricKeyStore: keys } = (await provider.Client.find('app')) as unknown as {
    asymmetricKeyStore: {
      freshUntil?: number;
      fresh(): boolean;
      refresh(): Promise<void>;
      selectForVerify(query: object): object[];
    };
  };
  expect([keys.fresh(), keys.selectForVerify({ alg: 'RS256' })]).toEqual([false, []]);
  await keys.refresh();
  await keys.refresh();
  expect([fetched, keys.fresh()]).toEqual([1, true]);
  expect(keys.freshUntil).toBeGreaterThan(Date.now() / 1000 + 500);
  const jwt = await readFile(join(root, 'node_modules/oidc-provider/lib/helpers/jwt.js'), 'utf8');
  expect(jwt).toMatch(
    /keystore\.selectForVerify\([\s\S]*keystore\.fresh\(\)[\s\S]*await keystore\.refresh\(\)/,
  );
});

test('models/client_notifications.ts: a ping is posted through `fetch` with the token of the request', async () => {
  const posted: [string, { headers: Record<string, string>; body: string }][] = [];
  const { provider } = bareProvider(new Map(), Provider, everything, {
    clients: [
      {
        ...app,
        grant_types: ['urn:openid:params:grant-type:ciba'],
        response_types: [],
        backchannel_token_delivery_mode: 'ping',
        backchannel_client_notification_endpoint: 'https://app.example/ping',
      },
    ] as never,
    fetch: (async (url: string, options: never) => {
      posted.push([url, options]);
      return new Response(null, { status: 204 });
    }) as never,
  });
  const client = (await provider.Client.find('app')) as unknown as {
    backchannelPing(request: object): Promise<void>;
  };
  await client.backchannelPing({
    jti: 'an id',
    kind: 'BackchannelAuthenticationRequest',
    params: { client_notification_token: 'a token' },
  });
  const [[url, { headers, body }] = ['', { headers: {}, body: '' }]] = posted;
  expect([posted.length, url, new Headers(headers).get('authorization')]).toEqual([
    1,
    'https://app.example/ping',
    'Bearer a token',
  ]);
  expect(JSON.parse(body)).toEqual({ auth_req_id: 'an id' });
});

test('models/claims.ts: `Claims.result` is what an ID token says, of what its client may hear', async () => {
  const { provider } = bareProvider(new Map(), Provider, {}, { clients });
  inside(provider.Claims).prototype.result = (async () => ({ sub: 'ada', ours: 1 })) as never;
  const client = await provider.Client.find('app');
  const token = new provider.IdToken({ sub: 'ada' }, { client } as never);
  const jwt = await token.issue({ use: 'idtoken' } as never);
  expect(JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())).toMatchObject({
    sub: 'ada',
    ours: 1,
  });
});

test('models/oidc_context.ts: the client is named to the context before a token is looked at, and a JWT is refused', async () => {
  const { provider } = bareProvider(new Map(), Provider, everything, { clients });
  const named: unknown[] = [];
  const { prototype } = inside(provider.OIDCContext as never);
  const entity = prototype.entity as unknown as (key: string, value: unknown) => void;
  prototype.entity = function (this: { params: { token: string } }, key: string, value: unknown) {
    named.push([key, this.params.token]);
    entity.call(this, key, value);
  } as never;
  const jwt = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln';
  const refused = await asApi(provider, '/token/introspection', { token: jwt });
  expect([refused.status, refused.body.error, named]).toEqual([
    400,
    'unsupported_token_type',
    [['Client', jwt]],
  ]);
  expect((await asApi(provider, '/token/introspection', { token: `.${jwt}` })).body).toEqual({
    active: false,
  });
});

test('models/refresh_token.ts and grants/refresh_token.ts: a grant that is registered takes the place of the library’s', async () => {
  const { provider, calls } = bareProvider(new Map(), Provider, everything, { clients });
  const seen: object[] = [];
  provider.registerGrantType(
    'refresh_token',
    (ctx) => {
      seen.push({ client: ctx.oidc.client.clientId, ...ctx.oidc.params });
      ctx.body = {};
    },
    ['refresh_token', 'scope'],
  );
  const sent = { grant_type: 'refresh_token', refresh_token: 'x', code: 'y' };
  const { status } = await request(provider.callback())
    .post('/token')
    .auth('app', secret)
    .type('form')
    .send(sent);
  expect([status, calls]).toEqual([200, []]);
  expect(seen).toEqual([
    expect.objectContaining({ client: 'app', grant_type: 'refresh_token', refresh_token: 'x' }),
  ]);
  expect(seen[0]).not.toHaveProperty('code');
});

test('grants/refresh_token.ts: the helpers that the library offers to grants of others are there', () => {
  const called = [
    ...['applyAuthorizationDetails', 'buildTokenResponse', 'checkDpopReplay', 'checkDpopRequired'],
    ...['findAccount', 'resolveAndApplyResource', 'validateDpop', 'validateGrant'],
  ] as const;
  expect(Object.keys(grantHelpers)).toEqual(expect.arrayContaining([...called]));
});

/** The names of the steps of each route, as the library registers them. */
function routes(): Record<string, string[]> {
  const seen: Record<string, string[]> = {};
  const own = new Map<string, (...args: unknown[]) => unknown>();
  for (const method of ['get', 'post', 'put', 'delete', 'options']) {
    own.set(method, Router.prototype[method]);
    Router.prototype[method] = function (name: string, path: string, ...steps: (() => void)[]) {
      seen[name] = steps.map((step) => nameOf(step as never));
      return own.get(method)?.call(this, name, path, ...steps);
    };
  }
  bareProvider(new Map(), Provider, everything, { clients });
  Object.assign(Router.prototype, Object.fromEntries(own));
  return seen;
}

test('routes/routes.ts: each route begins by opening a context, and its names are those that a request’s scope knows', async () => {
  const seen = routes();
  for (const [name, steps] of Object.entries(seen)) expect([name, steps[0]]).toEqual([name, 'ensureOIDC']);
  const scope = await readFile(join(root, 'src/oidc/library/request_scope.ts'), 'utf8');
  const [, union = ''] = /type Route =([^;]+);/.exec(scope) ?? [];
  const names = [...union.matchAll(/'(\w+)'/g)].map(([, name]) => name ?? '');
  expect(names.length).toBeGreaterThan(10);
  expect(names.filter((name) => !(name in seen))).toEqual([]);
});

test('routes/token_commit.ts and models/pushed_request.ts: what is settled is the last step', () => {
  const seen = routes();
  expect(seen.token?.at(-1)).toBe('callTokenHandler');
  for (const name of ['authorization', 'resume']) expect(seen[name]?.at(-1)).toBe('respond');
  expect(Object.keys(settling).sort()).toEqual(['callTokenHandler', 'respond']);
});

test('routes/changed_steps.ts and routes/anonymous_forms.ts: every step that is changed is one of the library’s', () => {
  const names = new Set(Object.values(routes()).flat());
  const { steps } = createAnonymousForms(Buffer.alloc(32), { name: 'x', secure: true });
  const changed = [changedSteps(createHolder([]), () => {}), steps].flatMap((table) => Object.keys(table));
  expect(changed.length).toBeGreaterThan(10);
  expect(changed.filter((name) => !names.has(name))).toEqual([]);
});

test('routes/end_session.ts: the last step of a sign-out’s confirmation ends the session', () => {
  expect(confirm.at(-1).name).toBe('endSession');
});

test('routes/answers.ts: a pushed request is destroyed through its adapter', () => {
  const { provider } = bareProvider(new Map(), Provider, everything, { clients });
  expect(provider.PushedAuthorizationRequest.adapter.destroy).toBeTypeOf('function');
});

test('request_scope.ts: the library’s ambient context is that of the request within its routes, and none outside', () => {
  expect(Provider.ctx).toBeUndefined();
  const ctx = {};
  als.run(ctx, () => expect(Provider.ctx).toBe(ctx));
});

test('models/session.ts: `Session.get` reads the cookies of a context that is not the library’s', async () => {
  const { provider } = bareProvider();
  const incoming = new IncomingMessage(new Socket());
  const ctx = provider.createContext(incoming, new ServerResponse(incoming));
  expect(await provider.Session.get(ctx as never)).toMatchObject({ uid: expect.any(String) });
});

test('errors that are told apart by their class carry their status', () => {
  expect(new errors.SessionNotFound('x')).toMatchObject({ statusCode: 400, error_description: 'x' });
  expect(new errors.SlowDown()).toMatchObject({ statusCode: 400, error: 'slow_down' });
});

describe('the register', () => {
  const page = 'docs/develop/library-overrides.md';
  const folder = 'src/oidc/library';
  const sections = async () =>
    (await readFile(join(root, page), 'utf8'))
      .split(/^### /m)
      .slice(1)
      .map((section) => {
        const [, file = ''] = /^`([^`]+)`/.exec(section) ?? [];
        // A name may go on in the next line.
        const [, tests = ''] = /^- \*\*Tests:\*\*([\s\S]*?)(?=^- \*\*)/m.exec(section) ?? [];
        return { file, section, tests: tests.replace(/\s+/g, ' ') };
      });

  test('names each file that replaces or calls what is inside the library', async () => {
    const named = (await sections()).map(({ file }) => file);
    const shared = [
      'models/model.ts',
      'models/record.ts',
      'models/ephemeral.ts',
      'models/polled.ts',
      'routes/step.ts',
    ];
    const inFolders = await Promise.all(
      ['models', 'routes', 'grants'].map(async (name) =>
        (await readdir(join(root, folder, name))).map((file) => `${name}/${file}`),
      ),
    );
    const files = ['live_keys.ts', 'request_scope.ts', ...inFolders.flat()];
    expect(named.toSorted()).toEqual(files.filter((file) => !shared.includes(file)).sort());
    const deep = (await readdir(join(root, folder), { recursive: true })).filter((file) =>
      file.endsWith('.ts'),
    );
    for (const file of deep) {
      const text = await readFile(join(root, folder, file), 'utf8');
      if (
        /oidc-provider\/lib\/|\bmodelOf</.test(text) &&
        file !== 'models/model.ts' &&
        file !== 'metadata_check.ts'
      )
        expect(named).toContain(file.replaceAll('\\', '/'));
    }
  });

  test('says of each what is replaced, why, which tests fail and what to do then; the tests exist', async () => {
    for (const { file, section, tests } of await sections()) {
      for (const part of ['Replaced', 'Why', 'Tests', 'Then'])
        expect(section, file).toContain(`- **${part}:** `);
      let source = '';
      let count = 0;
      for (const [, path, name] of tests.matchAll(/`(test\/[\w/.]+)`|"([^"]+)"/g)) {
        if (path) source = await readFile(join(root, path), 'utf8');
        else if (name) {
          count += 1;
          expect(source, file).toContain(`test('${name}'`);
        }
      }
      expect(count, file).toBeGreaterThan(0);
    }
  });
});
