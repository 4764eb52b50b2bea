/** Access tokens for APIs (RFC 8707): checked offline with the published key, or by introspection; and by whom. */
import { PublicProtocol } from 'paseto';
import { ImportPublicKeyFactory, VerifyFactory } from 'paseto/v4/public';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resourceSchema } from '../../src/config/schema.ts';
import { apps } from '../support/apps.ts';
import { type App, asApp, createPerson, type Person, type TokenAnswer } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, spa, api, machine, intranet } = apps;
const files = resourceSchema.parse({
  audience: 'https://files.example/api',
  scopes: ['files.read', 'files.write'],
  token_seconds: 300,
  client_id: api.client_id,
});
const notes = resourceSchema.parse({
  audience: 'https://notes.example/api',
  scopes: ['notes.read'],
  token_format: 'v4.local',
  client_id: 'notes-api',
});
const notesApi = { ...api, client_id: 'notes-api' };
const implicit = {
  ...web,
  client_id: 'implicit',
  response_types: ['id_token token'],
  grant_types: ['implicit'],
};
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({
    clients: [...Object.values(apps), notesApi, implicit],
    resources: [files, notes],
  });
  ada = createPerson(server, 'ada');
});
afterAll(() => server.close());

const forFiles = { resource: files.audience, scope: 'openid files.read' };
const forNotes = { resource: notes.audience, scope: 'openid notes.read' };
const introspected = async (app: App, token: string) =>
  (await asApp(server, app, { token }, '/token/introspection')).body;
const me = (token: string) => request(server.url).get('/me').auth(token, { type: 'bearer' });

/** What an API does that has nothing but the `paseto` package and our address. */
async function verifiedOffline(token: string, kindOfToken = 'public') {
  const published = await request(server.url).get('/.well-known/paseto-keys');
  const footer = JSON.parse(Buffer.from(token.split('.')[3] ?? '', 'base64url').toString());
  const { paserk } = published.body.keys.find(({ kid }: { kid: string }) => kid === footer.kid);
  const v4 = new PublicProtocol(VerifyFactory, ImportPublicKeyFactory);
  const implicitAssertion = Buffer.from(JSON.stringify([server.url, kindOfToken]));
  const { claims } = await v4.Verify(await v4.ImportPublicKey(paserk), token, { implicitAssertion });
  return claims;
}

test('resource indicators: a v4.public token verifies offline with the published key alone', async () => {
  const tokens = await ada.tokensFor(web, forFiles);
  expect(tokens.expires_in).toBe(300);
  const claims = await verifiedOffline(tokens.access_token);
  expect(claims).toMatchObject({
    iss: server.url,
    type: 'public',
    aud: files.audience,
    client_id: web.client_id,
    scope: 'files.read',
    sub: expect.any(String),
  });
  expect(Date.parse(String(claims.exp)) - Date.parse(String(claims.iat))).toBe(300_000);
  await expect(verifiedOffline(tokens.access_token, 'access')).rejects.toThrow();
});

test('resource indicators: a v4.local token is for introspection by its own API', async () => {
  const { access_token } = await ada.tokensFor(web, forNotes);
  expect(access_token).toMatch(/^v4\.local\./);
  expect(await introspected(notesApi, access_token)).toMatchObject({
    active: true,
    aud: notes.audience,
    scope: 'notes.read',
  });
});

test('Audience: a token not meant for the caller → bare {"active":false}; one that is meant for no API is active for none', async () => {
  const [plain, bound, offline] = [
    await ada.tokensFor(spa),
    await ada.tokensFor(web, forNotes),
    await ada.tokensFor(web, forFiles),
  ] as [TokenAnswer, TokenAnswer, TokenAnswer];
  const seen = async (app: App, token: string) => (await introspected(app, token)).active;
  // Without an audience: no API, no other app.
  for (const each of [api, notesApi])
    expect.soft(await introspected(each, plain.access_token)).toEqual({ active: false });
  const robot = await asApp(server, machine, { grant_type: 'client_credentials' });
  expect.soft(await introspected(api, robot.body.access_token)).toEqual({ active: false });
  expect.soft(await seen(machine, robot.body.access_token)).toBe(true);
  expect.soft(await introspected(web, plain.access_token)).toEqual({ active: false });
  expect.soft(await introspected(machine, plain.access_token)).toEqual({ active: false });
  // With one: its API and the app it was issued to.
  expect.soft(await introspected(api, bound.access_token)).toEqual({ active: false });
  expect.soft(await seen(web, bound.access_token)).toBe(true);
  expect.soft(await introspected(intranet, bound.access_token)).toEqual({ active: false });
  expect.soft(await seen(api, offline.access_token)).toBe(true);
  expect.soft(await introspected(notesApi, offline.access_token)).toEqual({ active: false });
  // A refresh token is between its app and us.
  expect.soft(await introspected(api, plain.refresh_token)).toEqual({ active: false });
  expect.soft(await seen(web, bound.refresh_token)).toBe(true);
});

test('a token for an API does not open userinfo, and a stranger’s resource is refused', async () => {
  for (const params of [forNotes, forFiles]) {
    const { access_token } = await ada.tokensFor(web, params);
    expect.soft((await me(access_token)).status).toBe(403);
  }
  const back = await ada.authorize(web, {
    resource: 'https://unknown.example/',
    code_challenge: 'x'.repeat(43),
  });
  expect(back.searchParams.get('error')).toBeTruthy();
  const { refresh_token } = await ada.tokensFor(web, forNotes);
  const form = { grant_type: 'refresh_token', refresh_token, resource: files.audience };
  const other = await asApp(server, web, form);
  expect([other.status, other.body.error]).toEqual([400, 'invalid_target']);
});

test('client credentials: a token of the app itself, for an API or for none, that opens no person’s data', async () => {
  const form = { grant_type: 'client_credentials' };
  const { body, headers } = await asApp(server, machine, form);
  expect(headers['cache-control']).toBe('no-store');
  expect(body).toMatchObject({ token_type: 'Bearer', access_token: expect.stringMatching(/^v4\.local\./) });
  expect(body.refresh_token).toBeUndefined();
  expect((await me(body.access_token)).status).toBe(401);
  expect(await introspected(machine, body.access_token)).toMatchObject({
    active: true,
    client_id: 'machine',
  });
  const bound = await asApp(server, machine, { ...form, resource: files.audience, scope: 'files.write' });
  expect(await verifiedOffline(bound.body.access_token)).toMatchObject({
    sub: 'machine',
    aud: files.audience,
    scope: 'files.write',
  });
  const revoked = await asApp(server, machine, { token: body.access_token }, '/token/revocation');
  expect(revoked.status).toBe(200);
  expect(await introspected(machine, body.access_token)).toEqual({ active: false });
  expect((await introspected(machine, bound.body.access_token)).active).toBe(true);
});

test('scope is said in every token answer that differs from what was asked, and where nothing of it was granted', async () => {
  const form = { grant_type: 'client_credentials', resource: files.audience };
  const own = async (more: object) => (await asApp(server, machine, { ...form, ...more })).body.scope;
  expect(await own({ scope: 'files.read files.delete' })).toBe('files.read');
  expect(await own({ scope: 'files.delete' })).toBe('');
  expect(await own({})).toBeUndefined();
  const people = await ada.tokensFor(web, { ...forFiles, scope: 'openid email files.read files.delete' });
  expect(people.scope).toBe('files.read');
  const nothing = await ada.tokensFor(web, { resource: files.audience, scope: 'openid' });
  expect(nothing.scope).toBe('');
  const refresh = { grant_type: 'refresh_token', refresh_token: nothing.refresh_token };
  expect((await asApp(server, web, refresh)).body.scope).toBe('');
  const narrowed = { grant_type: 'refresh_token', refresh_token: people.refresh_token, scope: 'openid' };
  expect((await asApp(server, web, narrowed)).body.scope).toBe('');
  const params = { response_type: 'id_token token', resource: files.audience };
  const back = await ada.travel(await ada.authorize(implicit, params));
  expect(Object.fromEntries(new URLSearchParams(back.hash.slice(1)))).toMatchObject({
    access_token: expect.any(String),
    scope: '',
  });
});

test('any number of spaces between the scheme and the credentials is accepted, for Bearer and for Basic', async () => {
  const { access_token } = await ada.tokensFor(web);
  const basic = Buffer.from(`${machine.client_id}:${machine.client_secret}`).toString('base64');
  for (const spaces of [' ', '  ', '     ']) {
    const userinfo = request(server.url).get('/me').set('authorization', `Bearer${spaces}${access_token}`);
    expect.soft((await userinfo).status).toBe(200);
    const token = request(server.url).post('/token').set('authorization', `Basic${spaces}${basic}`);
    expect.soft((await token.type('form').send({ grant_type: 'client_credentials' })).status).toBe(200);
  }
  for (const wrong of ['Bearer', `Bearer  ${access_token} x`, `  ${access_token}`])
    expect
      .soft((await request(server.url).get('/me').set('authorization', wrong)).status)
      .toBeGreaterThan(399);
});
