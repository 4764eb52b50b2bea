/** How apps prove who they are at every endpoint that asks, and what an answer of the token endpoint may give away. */
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { asApp, createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, spa, machine } = apps;
const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
const { client_secret: _, ...keyless } = machine;
const signed = {
  ...keyless,
  client_id: 'signed',
  token_endpoint_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: 'ES256',
  jwks: { keys: [await exportJWK(publicKey)] },
};
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), signed] });
});
afterAll(() => server.close());

const post = (path: string, form: object) => request(server.url).post(path).type('form').send(form);
const refusedAs = (answer: request.Response) => [answer.status, answer.body.error];

test('Client authentication: missing or wrong secret on token, refresh, revocation, introspection → 401', async () => {
  const tokens = await createPerson(server, 'ada').tokensFor(web);
  const requests: [string, object][] = [
    ['/token', { grant_type: 'authorization_code', code: 'x', redirect_uri: web.redirect_uri }],
    ['/token', { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }],
    ['/token/revocation', { token: tokens.refresh_token }],
    ['/token/introspection', { token: tokens.access_token }],
    ['/request', { response_type: 'code', redirect_uri: web.redirect_uri }],
  ];
  for (const [path, form] of requests) {
    const missing = await post(path, { ...form, client_id: web.client_id });
    expect.soft([path, ...refusedAs(missing)]).toEqual([path, 401, 'invalid_client']);
    const wrong = await post(path, form).auth(web.client_id, 'wrong');
    expect.soft([path, ...refusedAs(wrong)]).toEqual([path, 401, 'invalid_client']);
    expect.soft(wrong.headers['www-authenticate']).toContain('Basic');
    const unknown = await post(path, form).auth('nobody', 'wrong');
    const without = ({ id, ...body }: { id?: string }) => [typeof id, body];
    expect.soft([unknown.status, without(unknown.body)]).toEqual([wrong.status, without(wrong.body)]);
    expect.soft(Object.keys(unknown.headers).sort()).toEqual(Object.keys(wrong.headers).sort());
  }
  const works = await asApp(server, web, {
    grant_type: 'refresh_token',
    refresh_token: tokens.refresh_token,
  });
  expect(works.status).toBe(200);
});

test('Client authentication: two methods at once, or a secret in the query → refused', async () => {
  const form = { grant_type: 'client_credentials' };
  const { client_id, client_secret } = machine;
  const both = await post('/token', { ...form, client_id, client_secret }).auth(client_id, client_secret);
  expect.soft(refusedAs(both)).toEqual([400, 'invalid_request']);
  const query = await post(`/token?client_id=${client_id}&client_secret=${client_secret}`, form);
  expect.soft(refusedAs(query)).toEqual([400, 'invalid_request']);
  const half = await post(`/token?client_secret=${client_secret}`, { ...form, client_id });
  expect.soft(refusedAs(half)).toEqual([401, 'invalid_client']);
  const mixed = await post('/token', { ...form, client_id: web.client_id }).auth(client_id, client_secret);
  expect.soft(refusedAs(mixed)).toEqual([400, 'invalid_request']);
  expect((await asApp(server, machine, form)).status).toBe(200);
});

test('Client authentication: assertion with replayed jti, wrong audience, alg none, expired → 401', async () => {
  const claims = () => ({ iss: 'signed', sub: 'signed', jti: crypto.randomUUID() });
  const assertion = (audience: string, expires: string, payload: object = claims()) =>
    new SignJWT({ ...payload })
      .setProtectedHeader({ alg: 'ES256' })
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime(expires)
      .sign(privateKey);
  const send = (client_assertion: string) =>
    post('/token', {
      grant_type: 'client_credentials',
      client_assertion,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    });
  const good = await assertion(server.url, '1m');
  expect((await send(good)).status).toBe(200);
  expect.soft(refusedAs(await send(good))).toEqual([401, 'invalid_client']);
  const elsewhere = await assertion('https://other.example', '1m');
  expect.soft(refusedAs(await send(elsewhere))).toEqual([401, 'invalid_client']);
  const none = new UnsecuredJWT(claims()).setAudience(server.url).setExpirationTime('1m').encode();
  expect.soft(refusedAs(await send(none))).toEqual([401, 'invalid_client']);
  expect.soft(refusedAs(await send(await assertion(server.url, '-1m')))).toEqual([401, 'invalid_client']);
  const stranger = await assertion(server.url, '1m', { ...claims(), iss: 'machine', sub: 'machine' });
  expect.soft(refusedAs(await send(stranger))).toEqual([401, 'invalid_client']);
});

test('Client authentication: parallel replays of one assertion → one 200', async () => {
  const assertion = await new SignJWT({ iss: 'signed', sub: 'signed', jti: crypto.randomUUID() })
    .setProtectedHeader({ alg: 'ES256' })
    .setAudience(server.url)
    .setExpirationTime('1m')
    .sign(privateKey);
  const form = {
    grant_type: 'client_credentials',
    client_assertion: assertion,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  };
  const answers = await Promise.all(Array.from({ length: 20 }, () => post('/token', form)));
  expect(answers.filter(({ status }) => status === 200).length).toBe(1);
});

test('Client authentication: grant not allowed to the client → unauthorized_client', async () => {
  const forbidden = await asApp(server, web, { grant_type: 'client_credentials' });
  expect(refusedAs(forbidden)).toEqual([400, 'unauthorized_client']);
  const code = { grant_type: 'authorization_code', code: 'x', redirect_uri: 'https://machine.example/' };
  expect(refusedAs(await asApp(server, machine, code))).toEqual([400, 'unauthorized_client']);
});

test('Headers: token responses and their errors are no-store; scripts get JSON, people a page, both an id', async () => {
  const bad = { grant_type: 'refresh_token', refresh_token: 'x', client_id: spa.client_id };
  for (const accept of ['application/json', '*/*', '']) {
    const answer = await post('/token', bad).set('accept', accept);
    expect.soft([answer.type, ...refusedAs(answer)]).toEqual(['application/json', 400, 'invalid_grant']);
    expect.soft(answer.headers['cache-control']).toBe('no-store');
    expect.soft(server.logged()).toContain(answer.headers['x-request-id']);
  }
  const page = await post('/token', bad).accept('text/html');
  expect([page.type, page.status]).toEqual(['text/html', 400]);
  expect(page.text).toContain(page.headers['x-request-id']);
  const tokens = await createPerson(server, 'bea').tokensFor(spa);
  const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
  expect((await asApp(server, spa, form)).headers['cache-control']).toBe('no-store');
});
