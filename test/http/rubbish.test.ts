/** Row "Load and rubbish": what nobody sends who means well gets a clear error, and the server stays as it was. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { asApp, challengeOf, createPerson, interactionOf, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const { web } = apps;
const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };

test('the character NUL in what is stored with a code or a session: an error for the app, no fault of ours', async () => {
  const person = createPerson(server, 'nul');
  await person.tokensFor(web);
  const authorize = {
    client_id: web.client_id,
    redirect_uri: web.redirect_uri,
    response_type: 'code',
    scope: 'openid',
  };
  const again = await person.agent.get('/auth').query({ ...authorize, ...pkce, nonce: 'a\u0000b' });
  expect(again.status).toBe(400);
  expect(again.text).toContain('invalid_request');
  const signOut = await person.agent
    .get('/session/end')
    .query({ client_id: web.client_id, state: 'a\u0000b' });
  expect(signOut.status).toBe(400);
  const fresh = createPerson(server, 'nul-too');
  const uid = interactionOf(await fresh.authorize(web, { ...pkce, nonce: 'a\u0000b' }));
  expect(uid).toBeDefined();
});

test('10⁵ parameters, or a body of megabytes → 413/400, at every endpoint that takes a form', async () => {
  const parameters = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`p${index}`, 'x']));
  for (const path of ['/token', '/token/introspection', '/token/revocation', '/request']) {
    const flooded = await asApp(server, web, parameters, path);
    expect([400, 413]).toContain(flooded.status);
  }
});

test('fuzzed requests: no 5xx, same process', async () => {
  // A generator of our own, so that a failure can be repeated.
  let seed = 7;
  const next = (bound: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % bound;
  };
  const pieces = [
    '%00',
    '%ff',
    '..',
    '/',
    '?',
    '&',
    '=',
    'a',
    '%F0%9F%92%A9',
    '"',
    '<',
    '{',
    '[',
    '\\',
    ';',
    ' ',
    '%0d%0a',
  ];
  const paths = [
    '/auth',
    '/token',
    '/me',
    '/session/end',
    '/request',
    '/interaction/x',
    '/interaction/x/login/init',
    '/',
  ];
  const headers = ['authorization', 'cookie', 'content-type', 'x-forwarded-for', 'accept', 'dpop', 'origin'];
  const rubbish = () => Array.from({ length: next(12) }, () => pieces[next(pieces.length)]).join('');
  for (let round = 0; round < 400; round++) {
    const path = `${paths[next(paths.length)]}?${encodeURI(rubbish())}client_id=${rubbish()}`;
    const method = next(2) === 0 ? 'get' : 'post';
    const sent = request(server.url)[method](path.replaceAll(' ', '+'));
    sent.set(headers[next(headers.length)] ?? 'accept', rubbish().replace(/[^\x20-\x7e]/g, ''));
    const answer = method === 'post' ? await sent.send(rubbish()) : await sent;
    expect(answer.status, `${method} ${path}`).toBeLessThan(500);
  }
});
