/** The authorization endpoint: where it sends people, and what it refuses. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { apps } from '../support/apps.ts';
import { asApp, challengeOf, createPerson, interactionOf, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, intranet } = apps;
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
const asked = { client_id: web.client_id, redirect_uri: web.redirect_uri, response_type: 'code', ...pkce };
const authorize = (query: object) =>
  request(server.url)
    .get('/auth')
    .query({ scope: 'openid', state: 'a state', ...query })
    .accept('html');
const locationOf = (answer: request.Response) => new URL(String(answer.headers.location), server.url);

test.each([
  `${web.redirect_uri}/`,
  `${web.redirect_uri}.evil.example`,
  `${web.redirect_uri}/../other`,
  'https://web.example@evil.example/callback',
  'https://web.example:444/callback',
  'https://WEB.example/Callback',
  'https://web.example\\@evil.example/callback',
  `${web.redirect_uri}?extra=1`,
  `${web.redirect_uri}#fragment`,
  'http://web.example/callback',
  'javascript:alert(1)',
  '//web.example/callback',
])('Redirects: a variant of the redirect_uri is an error page, no redirect: %s', async (redirect_uri) => {
  const answer = await authorize({ ...asked, redirect_uri });
  expect(answer.status).toBe(400);
  expect(answer.headers.location).toBeUndefined();
  expect(answer.type).toBe('text/html');
  expect(answer.text).toContain(answer.headers['x-request-id']);
  // It is shown to whoever can mend it, and nobody is led there.
  expect(answer.text).not.toMatch(/(href|src|action)="[^"]*evil\.example/);
});

test('Redirects: a missing or doubled client or redirect_uri is 400, no redirect', async () => {
  const [uri, id] = [encodeURIComponent(web.redirect_uri), web.client_id];
  const rest = `response_type=code&scope=openid&code_challenge=${pkce.code_challenge}&code_challenge_method=S256`;
  for (const query of [
    `redirect_uri=${uri}`,
    `client_id=${id}`,
    `client_id=${id}&client_id=spa&redirect_uri=${uri}`,
    `client_id=${id}&redirect_uri=${uri}&redirect_uri=${encodeURIComponent('https://evil.example/')}`,
    `client_id=nobody&redirect_uri=${uri}`,
  ]) {
    const answer = await request(server.url).get(`/auth?${query}&${rest}`).accept('html');
    expect.soft([query, answer.status, answer.headers.location]).toEqual([query, 400, undefined]);
  }
});

test('Redirects: a doubled parameter never gets a code, and the app hears of it', async () => {
  const query = new URLSearchParams({ ...asked, scope: 'openid' });
  query.append('scope', 'openid email');
  const answer = await request(server.url).get(`/auth?${query}`);
  expect(locationOf(answer).searchParams.get('error')).toBe('invalid_request');
});

test('Redirects: iss in success and error responses (RFC 9207)', async () => {
  const refused = locationOf(await authorize({ ...asked, prompt: 'none' }));
  expect(Object.fromEntries(refused.searchParams)).toMatchObject({
    error: 'login_required',
    iss: server.url,
    state: 'a state',
  });
  const ines = createPerson(server, 'ines');
  const start = await ines.authorize(intranet);
  const back = await ines.follow(await ines.signUp(interactionOf(start) ?? ''));
  expect(back.origin + back.pathname).toBe(intranet.redirect_uri);
  expect(Object.fromEntries(back.searchParams)).toEqual({
    code: expect.any(String),
    iss: server.url,
    state: 'a state',
  });
});

test('a posted request goes on by GET, with what was sent twice; what is no form, or a large one, is refused', async () => {
  const post = (path: string) => request(server.url).post(path);
  const sent = await post('/auth').type('form').send('state=a+%26b&state=2&x=%0d%0aSet-Cookie:y%23');
  expect([sent.status, sent.headers['cache-control']]).toEqual([303, 'no-store']);
  expect(sent.headers.location).toBe('/auth?state=a+%26b&state=2&x=%0D%0ASet-Cookie%3Ay%23');
  const out = await post('/session/end').type('form').send({ state: 'x' });
  expect(out.headers.location).toBe('/session/end?state=x');
  expect((await post('/auth').send(asked)).status).toBe(400);
  const large = await post('/auth')
    .type('form')
    .send({ state: 'x'.repeat(16_000) });
  expect(large.status).toBe(413);
  const huge = await post('/session/end')
    .type('form')
    .send({ state: 'x'.repeat(100_000) });
  expect(huge.status).toBe(413);
});

test('Redirects: implicit and password grants are refused, for apps that did not register for them', async () => {
  for (const response_type of ['token', 'id_token', 'id_token token', 'code id_token', 'code token']) {
    const answer = locationOf(await authorize({ ...asked, response_type, nonce: 'n' }));
    const error = answer.searchParams.get('error') ?? new URLSearchParams(answer.hash.slice(1)).get('error');
    expect.soft(['invalid_request', 'unsupported_response_type'], response_type).toContain(error);
    expect.soft(answer.href).not.toMatch(/access_token|id_token=|code=/);
  }
  const form = { grant_type: 'password', username: 'ada', password: 'correct horse battery staple' };
  const answer = await asApp(server, web, form);
  expect([answer.status, answer.body.error]).toEqual([400, 'unsupported_grant_type']);
});

test('Redirects: http: (not loopback) or javascript: at registration is refused', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'cypher-clients-'));
  const file = join(directory, 'clients.json');
  const faultOf = async (uri: string) => {
    await writeFile(
      file,
      JSON.stringify([{ client_id: 'x', client_secret: 'a secret', redirect_uris: [uri] }]),
    );
    try {
      loadConfig(process.cwd(), { CLIENTS_FILE: file, DATA_DIR: directory });
      return 'none';
    } catch (error) {
      return (error as Error).message;
    }
  };
  for (const uri of [
    'http://web.example/cb',
    'javascript:alert(1)',
    'data:text/html,x',
    'https://a.example/#f',
  ])
    expect.soft(await faultOf(uri)).toMatch(/CLIENTS_FILE \S+: \$\[0\]\.redirect_uris\[0\] must be https/);
  expect(await faultOf('http://127.0.0.1:8080/cb')).toBe('none');
  await rm(directory, { recursive: true });
});

test('a posted request does not choose where it goes, and is a form of bounded length', async () => {
  const post = () => request(server.url).post('/auth').accept('html');
  const odd = await post().type('form').send('a=%0d%0aX-Evil:1&state=1&state=2&//evil.example/');
  expect([odd.status, odd.headers['x-evil']]).toEqual([303, undefined]);
  expect(odd.headers.location).toMatch(/^\/auth\?a=%0D%0AX-Evil%3A1&state=1&state=2&/);
  expect((await post().send({ ...asked })).status).toBe(400);
  for (const length of [16_000, 40_000])
    expect(
      (
        await post()
          .type('form')
          .send({ ...asked, state: 'x'.repeat(length) })
      ).status,
    ).toBe(413);
});
