import { IdentityMemHardFn } from '@cloudflare/opaque-ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startLogin } from '../../src/browser/opaque_client.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { asApp, challengeOf, createPerson, interactionOf } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    clients: Object.values(apps),
    settings: { LIMIT_ACCOUNT_FAILURES: '1000' },
  });
});
afterAll(() => server.close());

test('Load: of a flood of KE1 what is too much is refused at once, and tokens are introspected meanwhile', async () => {
  const tokens = await createPerson(server, 'ada').tokensFor(apps.web);
  const stranger = createPerson(server, 'stranger');
  const pkce = { code_challenge: challengeOf('v'.repeat(43)), code_challenge_method: 'S256' };
  const uid = interactionOf(await stranger.authorize(apps.web, pkce)) ?? '';
  const path = `/interaction/${uid}/login/init`;
  const { ke1 } = await startLogin('a guess', IdentityMemHardFn);
  const headers = { 'content-type': 'application/json', cookie: cookieHeader(cookiesOf(stranger, path)) };
  const guess = async () => {
    const body = JSON.stringify({ username: 'somebody', ke1 });
    const answer = await fetch(server.url + path, { method: 'POST', headers, body });
    const { error } = (await answer.json()) as { error?: string };
    return { status: answer.status, error, retryAfter: Number(answer.headers.get('retry-after')) };
  };
  const refusals = async () => {
    const text = await server.metrics.registry.getSingleMetricAsString('cypher_overloaded_total');
    return Number(/^cypher_overloaded_total (\d+)$/m.exec(text)?.[1]);
  };
  expect((await guess()).status).toBe(200);

  // All guesses at one name wait for its count of failures, which is held here.
  const flood = await server.database.transaction(async (query) => {
    await query('select 1 from login_failures for update');
    const guesses = Array.from({ length: 100 }, guess);
    await expect.poll(refusals).toBe(100 - 64);
    return guesses;
  });
  const meanwhile = await asApp(server, apps.web, { token: tokens.access_token }, '/token/introspection');
  expect(meanwhile.body.active).toBe(true);
  const answers = await Promise.all(flood);
  const refused = answers.filter(({ error }) => error === 'overloaded');
  expect(refused).toHaveLength(100 - 64);
  for (const { status, retryAfter } of refused) {
    expect(status).toBe(503);
    expect(retryAfter).toBeGreaterThan(0);
  }
  expect(answers.filter(({ status }) => status === 200).length).toBe(64);

  // Those who come when it is over are served.
  expect((await guess()).status).toBe(200);
});
