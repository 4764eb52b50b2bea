/** What pages of other origins may do: read what is published, register, open a sign-in in a popup; and how paths are written. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson, interactionOf } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web } = apps;
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps), settings: { REGISTRATION: 'open' } });
});
afterAll(() => server.close());

const origin = 'https://page.example';
const discovery = ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server'];

test('a page of any origin registers, manages what it registered, and reads what is published, after a preflight', async () => {
  const preflight = (path: string, method: string) =>
    request(server.url)
      .options(path)
      .set({ origin, 'access-control-request-method': method })
      .set('access-control-request-headers', 'authorization,content-type');
  for (const [path, method] of [
    ['/reg', 'POST'],
    ['/reg/some-id', 'PUT'],
    ['/.well-known/paseto-keys', 'GET'],
    ...discovery.map((each) => [each, 'GET']),
  ] as [string, string][]) {
    const { status, headers } = await preflight(path, method);
    expect([path, status, headers['access-control-allow-origin']]).toEqual([path, 204, '*']);
    expect(headers['access-control-allow-methods']).toContain(method);
    expect(headers['access-control-allow-headers']?.toLowerCase()).toMatch(/authorization.*content-type/);
  }
  const made = await request(server.url)
    .post('/reg')
    .set({ origin })
    .send({ redirect_uris: ['https://page.example/callback'], token_endpoint_auth_method: 'none' })
    .expect(201);
  const managed = request(server.url).get(`/reg/${made.body.client_id}`).set({ origin });
  const read = await managed.auth(made.body.registration_access_token, { type: 'bearer' }).expect(200);
  const refused = await request(server.url)
    .post('/reg')
    .set({ origin })
    .send({ redirect_uris: ['x'] })
    .expect(400);
  for (const answer of [made, read, refused]) {
    expect(answer.headers['access-control-allow-origin']).toBe('*');
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
  }
  const authorize = await request(server.url).get('/auth').set({ origin });
  expect(authorize.headers['access-control-allow-origin']).toBeUndefined();
});

test('no page or redirect of a sign-in or sign-out parts a popup from its opener; all others do', async () => {
  const ada = createPerson(server, 'ada');
  const begun = await ada.authorize(web, { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' });
  const paths = [
    `/auth?client_id=${web.client_id}`,
    `/interaction/${interactionOf(begun)}`,
    `/interaction/${interactionOf(begun)}/register`,
    '/session/end',
    '/session/end/success',
  ];
  for (const path of paths) {
    const { headers } = await ada.agent.get(path).accept('html');
    expect([path, headers['cross-origin-opener-policy']]).toEqual([path, undefined]);
  }
  for (const path of ['/', '/account', '/health/live']) {
    const { headers } = await ada.agent.get(path);
    expect([path, headers['cross-origin-opener-policy']]).toEqual([path, 'same-origin']);
  }
});

test('both discovery documents say the same, and name no empty list', async () => {
  const [openid, oauth] = await Promise.all(
    discovery.map((path) => request(server.url).get(path).expect(200)),
  );
  expect(oauth?.body).toEqual(openid?.body);
  expect(openid?.body).toMatchObject({ request_uri_parameter_supported: true });
  for (const [name, value] of Object.entries(openid?.body ?? {}))
    expect([name, value]).not.toEqual([name, []]);
});

test('a path may end with a slash and be written in capitals, by GET and by POST, and an empty claims parameter asks nothing', async () => {
  const query = {
    client_id: web.client_id,
    redirect_uri: web.redirect_uri,
    response_type: 'code',
    scope: 'openid',
    claims: '{}',
    code_challenge: 'a'.repeat(43),
    code_challenge_method: 'S256',
  };
  for (const path of ['/auth', '/auth/', '/Auth', '/AUTH/']) {
    const got = await request(server.url).get(path).query(query);
    expect([path, got.status, got.headers.location]).toEqual([
      path,
      303,
      expect.stringContaining('/interaction/'),
    ]);
    const posted = await request(server.url).post(path).type('form').send(query);
    expect([path, posted.status]).toEqual([path, 303]);
    const onwards = await request(server.url).get(String(posted.headers.location));
    expect([path, onwards.headers.location]).toEqual([path, expect.stringContaining('/interaction/')]);
  }
  for (const path of ['/session/end/', '/Session/End']) {
    expect((await request(server.url).get(path).accept('html')).status).toBe(303);
    expect((await request(server.url).post(path).type('form').send({})).status).toBe(303);
  }
});

test('a request that GET takes is taken by POST', async () => {
  const query = {
    client_id: web.client_id,
    redirect_uri: web.redirect_uri,
    response_type: 'code',
    scope: 'openid',
    code_challenge: 'a'.repeat(43),
    code_challenge_method: 'S256',
    state: 's'.repeat(5000),
  };
  const statuses = async (state: string) => {
    const got = await request(server.url)
      .get('/auth')
      .query({ ...query, state });
    const posted = await request(server.url)
      .post('/auth')
      .type('form')
      .send({ ...query, state });
    const onwards =
      posted.status === 303 ? await request(server.url).get(String(posted.headers.location)) : posted;
    return [got.status, onwards.status];
  };
  for (const length of [100, 5000, 8500, 12_000, 14_000]) {
    const [got, posted] = await statuses('s'.repeat(length));
    if (got === 303) expect([length, posted]).toEqual([length, 303]);
    else
      expect([length, posted]).toEqual([length, expect.toSatisfy((status) => status >= 400 && status < 500)]);
  }
});
