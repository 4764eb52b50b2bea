/** Row "Load and rubbish": what nobody sends who means well gets a clear error, and the server stays as it was. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fuzz } from '../faults/fuzz.ts';
import { createRandom } from '../faults/random.ts';
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
  const { failures, statuses } = await fuzz([Number(new URL(server.url).port)], createRandom(7), 3000);
  expect(failures).toEqual([]);
  // Not all of it stops at the door.
  for (const status of [200, 303, 400, 401, 404])
    expect.soft(statuses[status], String(status)).toBeGreaterThan(10);
});
