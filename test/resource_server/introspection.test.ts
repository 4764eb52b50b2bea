/** Introspection as an API does it: against the running provider, and how long and for whom an answer is kept. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { resourceSchema } from '../../src/config/schema.ts';
import { createVerifier, type VerifierOptions } from '../../src/resource_server/index.ts';
import { apps } from '../support/apps.ts';
import { asApp, createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { AUDIENCE, type Issuer, startIssuer } from './issuer.ts';

const verdictOf = async (options: VerifierOptions, token: string) => {
  const verdict = await createVerifier(options).verify({
    method: 'GET',
    path: '/',
    authorization: `Bearer ${token}`,
  });
  return verdict.ok ? 'ok' : verdict.refusal.code;
};

describe('against the provider', () => {
  const audience = 'https://notes.example/api';
  const notes = resourceSchema.parse({
    audience,
    scopes: ['notes.read'],
    token_format: 'v4.local',
    client_id: apps.api.client_id,
  });
  const introspection = {
    clientId: apps.api.client_id,
    clientSecret: apps.api.client_secret,
    cacheSeconds: 0,
  };
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ clients: Object.values(apps), resources: [notes] });
  });
  afterAll(() => server.close());

  test('Audience: a token for this API passes until it is revoked; one for no API, or for another, never does', async () => {
    const { now } = server.clock;
    const options = { issuer: server.url, audience, introspection, now };
    const ada = createPerson(server, 'ada');
    const { access_token, refresh_token } = await ada.tokensFor(apps.web, {
      resource: audience,
      scope: 'openid notes.read',
    });
    const plain = await ada.tokensFor(apps.web);
    expect(await verdictOf(options, access_token)).toBe('ok');
    expect(await verdictOf(options, refresh_token)).toBe('token_inactive');
    expect(await verdictOf(options, plain.access_token)).toBe('token_inactive');
    const wrong = { ...introspection, clientSecret: 'wrong' };
    expect(await verdictOf({ ...options, introspection: wrong }, access_token)).toBe('provider_unreachable');
    await asApp(server, apps.web, { token: access_token }, '/token/revocation');
    expect(await verdictOf(options, access_token)).toBe('token_inactive');
  });
});

describe('the cache', () => {
  const asked = () => issuer.asked('/introspect');
  let issuer: Issuer;
  beforeEach(async () => {
    issuer = await startIssuer(Date.UTC(2027, 0, 1));
  });
  afterEach(() => issuer.close());
  const answer = (over: object = {}) => ({
    active: true,
    iss: issuer.url,
    aud: AUDIENCE,
    sub: 'ada',
    client_id: 'web',
    token_type: 'Bearer',
    iat: issuer.now() / 1000,
    exp: issuer.now() / 1000 + 600,
    ...over,
  });
  function verifierOf(cacheSeconds?: number) {
    const introspection = {
      clientId: 'api',
      clientSecret: 's',
      ...(cacheSeconds === undefined ? {} : { cacheSeconds }),
    };
    const verifier = createVerifier({
      issuer: issuer.url,
      audience: AUDIENCE,
      introspection,
      now: issuer.now,
    });
    return async (token = 'v4.local.token') => {
      const verdict = await verifier.verify({ method: 'GET', path: '/', authorization: `Bearer ${token}` });
      return verdict.ok ? 'ok' : verdict.refusal.code;
    };
  }

  test('an answer serves a second by default, and parallel requests with one token ask once', async () => {
    issuer.introspects(answer());
    const verdict = verifierOf();
    await Promise.all(Array.from({ length: 100 }, () => verdict()));
    expect(asked()).toBe(1);
    issuer.introspects({ active: false });
    expect(await verdict()).toBe('ok');
    issuer.advance(1);
    expect(await verdict()).toBe('token_inactive');
    expect(asked()).toBe(2);
  });

  test('with 0 seconds no answer is older than its request: none is kept, and none is shared', async () => {
    let held: (() => void)[] = [];
    let active = true;
    const introspection = { clientId: 'api', clientSecret: 's', cacheSeconds: 0 };
    const slow = (async (url: string, init?: RequestInit) => {
      if (!url.endsWith('/introspect')) return fetch(url, init);
      const asNow = new Response(JSON.stringify(active ? answer() : { active: false }));
      await new Promise<void>((resolve) => held.push(resolve));
      return asNow;
    }) as typeof fetch;
    const options = { issuer: issuer.url, audience: AUDIENCE, introspection, now: issuer.now, fetch: slow };
    const verifier = createVerifier(options);
    const ask = () => verifier.verify({ method: 'GET', path: '/', authorization: 'Bearer v4.local.token' });
    const before = ask();
    await vi.waitFor(() => expect(held).toHaveLength(1));
    // The token is revoked while that question is on its way back.
    active = false;
    const after = ask();
    await vi.waitFor(() => expect(held).toHaveLength(2));
    for (const release of held) release();
    expect([(await before).ok, (await after).ok]).toEqual([true, false]);
    held = [];
    const third = ask();
    await vi.waitFor(() => expect(held).toHaveLength(1));
    held[0]?.();
    expect((await third).ok).toBe(false);
  });

  test('an answer serves no longer than the token, and not for another token', async () => {
    issuer.introspects(answer({ exp: issuer.now() / 1000 + 5 }));
    const verdict = verifierOf(60);
    expect(await verdict()).toBe('ok');
    issuer.advance(4);
    expect(await verdict()).toBe('ok');
    expect(await verdict('v4.local.another')).toBe('ok');
    expect(asked()).toBe(2);
    issuer.introspects({ active: false });
    issuer.advance(2);
    expect(await verdict()).toBe('token_inactive');
  });

  test('what the answer says is checked as in a token', async () => {
    const cases: [string, object][] = [
      ['token_foreign', { iss: 'https://evil.example' }],
      ['token_foreign', { aud: 'https://other.example' }],
      ['token_foreign', { token_type: undefined }],
      ['token_expired', { exp: issuer.now() / 1000 - 60 }],
      ['token_expired', { exp: undefined }],
      ['token_bound', { cnf: { jkt: 'a' } }],
      ['token_inactive', { active: 'true' }],
    ];
    for (const [code, over] of cases) {
      issuer.introspects(answer(over));
      expect.soft([code, await verifierOf()()]).toEqual([code, code]);
    }
  });

  test('the metadata of an issuer with a path is found where RFC 8414 has it, or where OpenID Connect does', async () => {
    const tenant = 'https://id.example.com/tenant';
    const well = 'https://id.example.com/.well-known/oauth-authorization-server';
    const cases: [string, string, string[]][] = [
      [tenant, `${well}/tenant`, [`${well}/tenant`]],
      [
        tenant,
        `${tenant}/.well-known/openid-configuration`,
        [`${well}/tenant`, `${tenant}/.well-known/openid-configuration`],
      ],
      ['https://id.example.com', well, ['https://id.example.com/.well-known/openid-configuration', well]],
    ];
    for (const [named, there, looked] of cases) {
      const seen: string[] = [];
      const served = (async (url: string) => {
        seen.push(url);
        if (url === there)
          return Response.json({ issuer: named, introspection_endpoint: 'https://id.example.com/i' });
        return url.endsWith('/i') ? Response.json(answer({ iss: named })) : new Response('', { status: 404 });
      }) as typeof fetch;
      const introspection = { clientId: 'api', clientSecret: 's' };
      const options = { issuer: named, audience: AUDIENCE, introspection, now: issuer.now, fetch: served };
      expect.soft(await verdictOf(options, 'v4.local.token')).toBe('ok');
      expect.soft(seen).toEqual([...looked, 'https://id.example.com/i']);
    }
    // What names another issuer is not its metadata.
    const evil = (async () =>
      Response.json({
        issuer: 'https://id.example.com',
        introspection_endpoint: 'https://id.example.com/i',
      })) as never;
    const introspection = { clientId: 'api', clientSecret: 's' };
    const options = { issuer: tenant, audience: AUDIENCE, introspection, now: issuer.now, fetch: evil };
    expect(await verdictOf(options, 'v4.local.token')).toBe('provider_unreachable');
  });

  test('the provider down is a 503, and is asked again at the next request', async () => {
    issuer.stop();
    const verdict = verifierOf();
    expect(await verdict()).toBe('provider_unreachable');
    issuer.start();
    issuer.introspects(answer());
    expect(await verdict()).toBe('ok');
  });
});
