/** Signed authorization requests (RFC 9101): by value and pushed; what is not signed by the app is not taken. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { asApp, challengeOf, createPerson, type Person, verifier } from '../support/person.ts';
import { relyingParty, signInAt } from '../support/relying_party.ts';
import { startServer, type TestServer } from '../support/server.ts';

const keys = await generateKeyPair('ES256', { extractable: true });
const signing = {
  ...apps.web,
  client_id: 'signing',
  jwks: { keys: [{ ...(await exportJWK(keys.publicKey)), alg: 'ES256', use: 'sig' }] },
};
const strict = { ...signing, client_id: 'strict', require_signed_request_object: true };
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), signing, strict] });
  ada = createPerson(server, 'ada');
  await ada.codeFor(apps.intranet);
});
afterAll(() => server.close());

const claims = (more: object = {}): JWTPayload => ({
  client_id: 'signing',
  response_type: 'code',
  redirect_uri: signing.redirect_uri,
  scope: 'openid',
  state: 'signed',
  code_challenge: challengeOf(verifier()),
  code_challenge_method: 'S256',
  ...more,
});
const signed = (payload: JWTPayload, by = keys.privateKey, audience = server.url) =>
  new SignJWT(payload)
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(String(payload.client_id))
    .setAudience(audience)
    .setExpirationTime('1m')
    .sign(by);
const send = (object: string, more: object = {}) =>
  request(server.url)
    .get('/auth')
    .query({ client_id: 'signing', redirect_uri: signing.redirect_uri, request: object, ...more });
const errorOf = ({ headers }: request.Response) =>
  new URL(String(headers.location), server.url).searchParams.get('error');

test('JAR: openid-client signs its request, by value and through a pushed one', async () => {
  for (const push of [false, true]) {
    const config = await relyingParty(server, signing);
    const tokens = await signInAt(config, signing, ada, { signedBy: keys.privateKey, push });
    expect(tokens.claims()?.aud).toBe('signing');
  }
});

test('JAR: what is signed wins, and what stands beside it is not looked at', async () => {
  const answer = await send(await signed(claims({ prompt: 'none' })), {
    state: 'planted',
    scope: 'openid email',
  });
  const back = new URL(String(answer.headers.location));
  expect(Object.fromEntries(back.searchParams)).toMatchObject({ state: 'signed', error: 'login_required' });
});

test('JAR: unsigned, another key, another audience, an expired or a nested request → refused', async () => {
  const stranger = (await generateKeyPair('ES256')).privateKey;
  const old = new SignJWT(claims())
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer('signing')
    .setAudience(server.url);
  for (const [what, object] of [
    ['unsigned', new UnsecuredJWT(claims()).setIssuer('signing').setAudience(server.url).encode()],
    ['stranger', await signed(claims(), stranger)],
    ['audience', await signed(claims(), keys.privateKey, 'https://other.example')],
    ['expired', await old.setExpirationTime('-5m').sign(keys.privateKey)],
    ['nested', await signed(claims({ request: 'x' }))],
    ['another client', await signed(claims({ client_id: 'web' }))],
    ['rubbish', 'a.b.c'],
  ] as const)
    expect.soft([what, errorOf(await send(object))]).toEqual([what, 'invalid_request_object']);
});

test('JAR: a redirect_uri that is not registered is no redirect, signed or not', async () => {
  const object = await signed(claims({ redirect_uri: 'https://evil.example/' }));
  const answer = await request(server.url)
    .get('/auth')
    .query({ client_id: 'signing', request: object })
    .accept('html');
  expect([answer.status, answer.headers.location]).toEqual([400, undefined]);
});

test('JAR: an app with require_signed_request_object is refused without; request_uri of the app’s own is none', async () => {
  const plain = { ...claims({ client_id: 'strict' }) };
  expect(errorOf(await request(server.url).get('/auth').query(plain))).toBe('invalid_request');
  const pushed = await asApp(server, strict, plain as Record<string, string>, '/request');
  expect([pushed.status, pushed.body.error]).toEqual([400, 'invalid_request']);
  const remote = { ...claims(), request_uri: 'https://web.example/request.jwt' };
  const answer = await request(server.url).get('/auth').query(remote);
  expect(errorOf(answer)).toMatch(/invalid_request_uri|request_uri_not_supported/);
});

test('JAR by reference: fetched from a registered address and from nowhere else', async () => {
  const objects = new Map<string, string>();
  const asked: string[] = [];
  const host = createServer((req, res) => {
    asked.push(String(req.url));
    const object = objects.get(String(req.url));
    res.writeHead(object ? 200 : 404, { location: '/good' }).end(object);
  });
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  const at = `http://localhost:${(host.address() as AddressInfo).port}`;
  const object = async (more: object = {}) => signed(claims({ client_id: 'by-reference', ...more }));
  const good = await object({ prompt: 'none' });
  const uris = ['/good', '/good#version-2', '/gone', '/large', '/unsigned'];
  const one = { ...signing, client_id: 'by-reference', request_uris: uris.map((uri) => at + uri) };
  const other = await startServer({ clients: [...Object.values(apps), one], issuer: server.url });
  objects.set('/good', good);
  objects.set('/large', 'x'.repeat(20_000));
  objects.set('/unsigned', new UnsecuredJWT(claims({ client_id: 'by-reference' })).encode());
  const ask = async (query: object) => {
    const sent = { client_id: 'by-reference', redirect_uri: one.redirect_uri, ...query };
    const answer = await request(other.url).get('/auth').query(sent);
    return new URL(String(answer.headers.location)).searchParams.get('error');
  };
  // What `prompt` the object holds is proof that it was read.
  for (const uri of uris.slice(0, 2)) expect(await ask({ request_uri: at + uri })).toBe('login_required');
  for (const uri of uris.slice(2, 4))
    expect([uri, await ask({ request_uri: at + uri })]).toEqual([uri, 'invalid_request_uri']);
  expect(await ask({ request_uri: `${at}/unsigned` })).toBe('invalid_request_object');
  expect(await ask({ request_uri: `${at}/good`, request: good })).toBe('invalid_request');
  asked.length = 0;
  for (const uri of [`${at}/good?x`, `${at}/other`, 'https://169.254.169.254/good'])
    expect([uri, await ask({ request_uri: uri })]).toEqual([uri, 'invalid_request_uri']);
  expect(asked).toEqual([]);
  const discovery = (await request(other.url).get('/.well-known/openid-configuration')).body;
  expect(discovery).toMatchObject({
    request_uri_parameter_supported: true,
    require_request_uri_registration: true,
  });
  host.close();
  await other.close();
});
