/**
 * What src/oidc/library/ takes for granted of oidc-provider's inside, by a whole server: which methods its endpoints call, in which order, and where
 * its words are matched. Where a release does otherwise, this breaks before a guarantee does.
 */
import { readFile } from 'node:fs/promises';
import { decodeProtectedHeader } from 'jose';
import Provider, { errors, interactionPolicy } from 'oidc-provider';
// @ts-expect-error: not part of the library's types.
import Router from 'oidc-provider/lib/helpers/router.js';
import request from 'supertest';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { withSecret } from '../../src/oidc/clients/unknown_secret.ts';
import { prompts } from '../../src/oidc/interaction/prompts.ts';
import { takeOverNotifications } from '../../src/oidc/library/models/client_notifications.ts';
import { overrideGrant, rememberSession } from '../../src/oidc/library/models/grant.ts';
import { overrideReplayDetection } from '../../src/oidc/library/models/replay_detection.ts';
import { overrideSession } from '../../src/oidc/library/models/session.ts';
import { providerWithFormPost } from '../../src/oidc/library/routes/response_modes.ts';
import { apps } from '../support/apps.ts';
import { bareProvider, key } from '../support/bare_provider.ts';
import { asApp, createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, spa, intranet } = apps;
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterEach(() => vi.restoreAllMocks());
afterAll(() => server.close());

interface Model {
  prototype: Record<string, unknown>;
  find: unknown;
  revokeByGrantId: unknown;
}

test('the version is pinned: another one is looked at before it is taken', async () => {
  const { dependencies } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  const installed = new URL('../../node_modules/oidc-provider/package.json', import.meta.url);
  const { version } = JSON.parse(await readFile(installed, 'utf8'));
  expect(dependencies['oidc-provider']).toMatch(/^\d+\.\d+\.\d+$/);
  expect(version).toBe(dependencies['oidc-provider']);
  expect(version).toMatch(/^9\./);
});

test('the overridden methods exist on the models, and those we call return what we expect', async () => {
  const { provider } = bareProvider();
  for (const name of ['AccessToken', 'ClientCredentials', 'RefreshToken'] as const) {
    const model = provider[name] as unknown as Model;
    expect
      .soft([name, typeof model.find, typeof model.prototype.save])
      .toEqual([name, 'function', 'function']);
    for (const method of ['getValueAndPayload', 'generateTokenId', 'emit', 'destroy'])
      expect.soft([name, method, typeof model.prototype[method]]).toEqual([name, method, 'function']);
  }
  expect(typeof (provider.AccessToken as unknown as Model).revokeByGrantId).toBe('function');
  expect(typeof (provider.RefreshToken as unknown as Model).revokeByGrantId).toBe('function');
  expect(typeof (provider.RefreshToken as unknown as Model).prototype.consume).toBe('function');
  const token = new provider.AccessToken({
    accountId: 'a',
    grantId: 'g',
    scope: 'openid',
  } as never) as never as {
    clientId: string;
    generateTokenId(): string;
    getValueAndPayload(): Promise<{ payload: object }>;
  };
  token.clientId = 'c';
  token.generateTokenId();
  const { payload } = await token.getValueAndPayload();
  const kept = { kind: 'AccessToken', accountId: 'a', clientId: 'c', grantId: 'g', scope: 'openid' };
  expect(payload).toMatchObject({ ...kept, iat: expect.any(Number), exp: expect.any(Number) });
});

test('a code is used up before its tokens are made; the grant of a refresh is ours, and writes nothing through the models', async () => {
  const seen: string[] = [];
  const emit = Provider.prototype.emit;
  vi.spyOn(Provider.prototype, 'emit').mockImplementation(function (this: Provider, event, ...args) {
    if (/^(access_token|refresh_token|authorization_code)\.|^grant\.(success|error)/.test(String(event)))
      seen.push(String(event));
    return emit.call(this, event, ...args);
  });
  const tokens = await createPerson(server, 'ada').tokensFor(spa);
  const issued = ['access_token.issued', 'refresh_token.saved', 'grant.success'];
  expect(seen).toEqual(['authorization_code.saved', 'authorization_code.consumed', ...issued]);
  seen.length = 0;
  const refresh = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
  expect((await asApp(server, spa, refresh)).status).toBe(200);
  expect(seen).toEqual(['access_token.issued', 'grant.success']);
  seen.length = 0;
  server.clock.advance(60);
  expect((await asApp(server, spa, refresh)).status).toBe(400);
  expect(seen).toEqual(['grant.error']);
});

test('nothing that the library stores of a token is in its own adapters', async () => {
  await createPerson(server, 'bea').tokensFor(web);
  const rows = await server.database.query<{ model: string }>(
    'select distinct model from records order by model',
  );
  expect(rows.map(({ model }) => model)).toEqual(['AuthorizationCode', 'Grant']);
});

test('Session.resetIdentifier and Session.save change the id and destroy the old one; ours do after a login alone', async () => {
  const change = async (override: boolean, login: boolean) => {
    const { provider, calls } = bareProvider();
    if (override) overrideSession(provider);
    const session = new provider.Session() as unknown as {
      save(ttl: number): Promise<string>;
      loginAccount(details: object): void;
      resetIdentifier(): void;
      id: string;
    };
    const before = await session.save(60);
    if (login) session.loginAccount({ accountId: 'somebody' });
    session.resetIdentifier();
    return { sameId: (await session.save(60)) === before, calls };
  };
  const upserts = ['Session.upsert', 'Session.upsert'];
  const destroyed = ['Session.upsert', 'Session.destroy', 'Session.upsert'];
  expect(await change(false, false)).toEqual({ sameId: false, calls: destroyed });
  expect(await change(false, true)).toEqual({ sameId: false, calls: destroyed });
  expect(await change(true, false)).toEqual({ sameId: true, calls: upserts });
  expect(await change(true, true)).toEqual({ sameId: false, calls: upserts });
});

test('a Grant stores what IN_PAYLOAD names, and nothing else: with our override its session too', async () => {
  const kept = async (override: boolean) => {
    const { provider } = bareProvider();
    if (override) overrideGrant(provider);
    const grant = new provider.Grant({ accountId: 'somebody', clientId: 'an app' });
    rememberSession(grant, 'a session');
    const id = await grant.save();
    return (await provider.Grant.find(id)) as object;
  };
  expect(await kept(false)).not.toHaveProperty('sessionUid');
  expect(await kept(true)).toMatchObject({ accountId: 'somebody', sessionUid: 'a session' });
});

test('Client.backchannelLogout makes a logout token and posts it through `fetch`; a sign-out calls nothing else', async () => {
  const client = {
    client_id: 'told',
    redirect_uris: ['https://told.example/'],
    client_secret: 'x'.repeat(32),
  };
  const posted: [string, { method: string; redirect: string; body: URLSearchParams; signal: AbortSignal }][] =
    [];
  const provider = new Provider('http://localhost:1', {
    adapter: (() => ({ find: async () => undefined })) as never,
    clients: [{ ...client, backchannel_logout_uri: 'https://told.example/logout' }],
    jwks: { keys: [key] },
    cookies: { keys: ['x'] },
    features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
    ttl: { AccessToken: 900, Grant: 900 },
    fetch: (async (url: string, options: never) => {
      posted.push([url, options]);
      return new Response(null, { status: 204 });
    }) as never,
  });
  const { logout: send } = takeOverNotifications(provider);
  const found = (await provider.Client.find('told')) as unknown as {
    backchannelLogout(accountId: string, sid: string): Promise<void>;
  };
  await found.backchannelLogout('somebody', 'a sid');
  expect(posted).toEqual([]);
  expect(await send('told', 'somebody', 'a sid')).toBe(true);
  expect(await send('gone', 'somebody', 'a sid')).toBe(false);
  const [[url, { method, redirect, body }] = ['', { method: '', redirect: '', body: undefined }]] = posted;
  expect([posted.length, url, method, redirect]).toEqual([
    1,
    'https://told.example/logout',
    'POST',
    'manual',
  ]);
  expect(decodeProtectedHeader(body?.get('logout_token') ?? '').typ).toBe('logout+jwt');
});

test('clients are found by Client.find and their secrets compared by compareClientSecret, which are ours', async () => {
  const { provider } = bareProvider();
  const library = provider.Client as unknown as Model;
  expect(typeof library.find).toBe('function');
  expect(typeof library.prototype.compareClientSecret).toBe('function');
  expect(typeof (library as unknown as { validate: unknown }).validate).toBe('function');
  // What it is given in place of a secret that only a hash is known of must not be one that is taken.
  const stand = withSecret({ client_id: 'x' }).client_secret;
  expect(
    (await asApp(server, { ...web, client_secret: stand }, { grant_type: 'refresh_token' })).status,
  ).toBe(401);
  expect((await asApp(server, web, { grant_type: 'refresh_token' })).status).toBe(400);
});

test('Session.persist refuses what was never stored, which our override leaves as it is: a stranger at a device’s page', async () => {
  const fresh = () => new (bareProvider().provider.Session)() as unknown as { persist(): Promise<unknown> };
  await expect(fresh().persist()).rejects.toThrow('previously persisted');
  const { provider } = bareProvider();
  overrideSession(provider);
  const session = new provider.Session() as unknown as {
    persist(): Promise<unknown>;
    save(ttl: number): Promise<unknown>;
  };
  expect(await session.persist()).toBeUndefined();
  await session.save(60);
  expect(await session.persist()).toBeTypeOf('string');
  for (const sent of [request(server.url).get('/device/auth'), request(server.url).post('/device')])
    expect((await sent).status).toBe(400);
});

test('the consent prompt has the check that first-party native apps are excused from', () => {
  const library = interactionPolicy.base().get('consent')?.checks.get('native_client_prompt');
  expect(library?.check).toBeTypeOf('function');
  expect(
    prompts({ SIGN_UP: 'open' }, () => '')
      .get('consent')
      ?.checks.get('native_client_prompt')?.check,
  ).not.toBe(library?.check);
});

test('the words and fields that are matched are still the library’s', async () => {
  const { body } = await asApp(server, intranet, { grant_type: 'client_credentials' });
  expect(body.error_description).toBe('requested grant type is not allowed for this client');
  const refused = new errors.InvalidGrant('why');
  expect(refused).toMatchObject({
    statusCode: 400,
    expose: true,
    error: 'invalid_grant',
    error_detail: 'why',
  });
});

test('replays are detected by ReplayDetection.unique, which looks and then stores', async () => {
  const { provider, calls } = bareProvider();
  const model = provider.ReplayDetection as unknown as { unique(...args: unknown[]): Promise<boolean> };
  const inAMinute = Math.floor(Date.now() / 1000) + 60;
  expect(await Promise.all([1, 2].map(() => model.unique('a', 'jti', inAMinute)))).toEqual([true, true]);
  expect(calls).toEqual(['ReplayDetection.upsert', 'ReplayDetection.upsert']);
  const spent: unknown[] = [];
  const spend = async (id: string, expiresAt: number) => spent.push([id, expiresAt]) === 1;
  overrideReplayDetection(provider, spend, Date.now);
  expect(await Promise.all([1, 2].map(() => model.unique('a', 'jti', inAMinute)))).toEqual([true, false]);
  expect(spent).toEqual([1, 2].map(() => [expect.stringMatching(/^jti:/), inAMinute * 1000]));
});

test('the library registers its response modes by the method that puts our form_post in their place', () => {
  const names: string[] = [];
  const Ours = providerWithFormPost(async () => {});
  class Watched extends Ours {
    override registerResponseMode(...[name, handler]: Parameters<Provider['registerResponseMode']>) {
      names.push(name);
      super.registerResponseMode(name, handler);
    }
  }
  bareProvider(new Map(), Watched as never);
  expect(names).toEqual(expect.arrayContaining(['query', 'fragment', 'form_post']));
});

test('what the overrides of claims and of JWTs at introspection replace and call is there', () => {
  const { provider } = bareProvider();
  const { Claims, OIDCContext, IdToken } = provider as unknown as {
    [name: string]: { prototype: Record<string, unknown>; validate?: unknown };
  };
  expect(typeof Claims?.prototype.result).toBe('function');
  expect(typeof OIDCContext?.prototype.entity).toBe('function');
  expect(typeof IdToken?.validate).toBe('function');
});

test('the steps of the endpoints that apps call at every turn are those of which lean_steps.ts knows', () => {
  const seen: Record<string, string[]> = {};
  const { post } = Router.prototype;
  vi.spyOn(Router.prototype, 'post').mockImplementation(function (this: object, ...args: unknown[]) {
    const [name, , ...steps] = args as [string, string, ...(() => void)[]];
    seen[name] = steps.map((step) => step.name);
    return post.apply(this, args);
  });
  bareProvider(new Map(), Provider, {
    introspection: { enabled: true },
    revocation: { enabled: true },
    jwtIntrospection: { enabled: true },
  });
  // The step without a name is CORS.
  const opened = ['ensureOIDC', 'ensureSessionSave', 'errorHandler', ''];
  const read = ['urlencoded', 'assembleTokenParams'];
  const known = ['rejectClientAuthDupes', 'setWWWAuthenticateHeader', 'authenticateClient'];
  const aToken = ['bound rejectDupes', 'validateTokenPresence', 'rejectStructuredTokens'];
  expect(seen.introspection).toEqual([
    ...opened,
    'noCache',
    ...read,
    ...known,
    ...aToken,
    'jwtIntrospectionResponse',
    'renderTokenResponse',
  ]);
  expect(seen.revocation).toEqual([
    ...opened,
    ...read,
    ...known,
    ...aToken,
    'renderTokenResponse',
    'revokeToken',
  ]);
  expect(seen.token).toEqual([
    ...opened,
    'noCache',
    ...read,
    ...known,
    'bound rejectDupes',
    'stripGrantIrrelevantParams',
    'supportedGrantTypeCheck',
    'allowedGrantTypeCheck',
    'rejectDupesOptionalExcept',
    'validateScope',
    'checkRar',
    'ensureRarResource',
    'callTokenHandler',
  ]);
});
