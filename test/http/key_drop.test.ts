/** Row "Keys, leaks, logs", emergency drop: what a key has made dies at once, on every instance. Which keys there are. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import {
  forFiles,
  headerOf,
  isActive,
  jwks,
  kidOf,
  pasetoKeys,
  refresh,
  soon,
  startPair,
} from '../support/key_pair.ts';
import { createPerson } from '../support/person.ts';
import type { TestServer } from '../support/server.ts';

const { web, spa } = apps;
const edwards = { ...web, client_id: 'edwards', id_token_signed_response_alg: 'EdDSA' };
const pss = { ...web, client_id: 'pss', id_token_signed_response_alg: 'PS256' };

let pair: Awaited<ReturnType<typeof startPair>>;
let one: TestServer;
let two: TestServer;
beforeAll(async () => {
  pair = await startPair([edwards, pss]);
  ({ one, two } = pair);
});
afterAll(() => pair.close());

test('Emergency drop: what was made with the key dies on every instance within seconds, what follows lives', async () => {
  const person = createPerson(one, 'dropped');
  const tokens = await person.tokensFor(web, { scope: 'openid offline_access', prompt: 'consent' });
  const offline = await person.tokensFor(web, forFiles);
  expect(await isActive(two, tokens.access_token)).toBe(true);
  for (const kind of ['token access', 'token public', 'token refresh', 'jwk RS256'])
    await pair.key('drop', await pair.idOf(kind));
  for (const server of [one, two]) {
    await soon(async () => {
      expect(await isActive(server, tokens.access_token)).toBe(false);
      expect(await isActive(server, offline.access_token)).toBe(false);
      expect((await refresh(server, tokens.refresh_token)).body.error).toBe('invalid_grant');
      expect((await jwks(server)).map(({ kid }) => kid)).not.toContain(headerOf(tokens.id_token).kid);
      expect((await pasetoKeys(server)).map(({ kid }) => kid)).not.toContain(kidOf(offline.access_token));
    });
  }
  const again = await person.tokensFor(web, { scope: 'openid offline_access', prompt: 'consent' });
  expect(await isActive(two, again.access_token)).toBe(true);
  expect((await refresh(two, again.refresh_token)).status).toBe(200);
});

test('Emergency drop: a token of the new key is taken by an instance that has not looked yet', async () => {
  const person = createPerson(one, 'at-once');
  await person.tokensFor(web);
  for (let round = 0; round < 3; round += 1) {
    const dropped = await pair.idOf('token access');
    const { access_token: last } = await person.tokensFor(web);
    await pair.key('drop', dropped);
    await soon(async () => expect(await isActive(one, last)).toBe(false));
    const { access_token } = await person.tokensFor(web);
    expect(await isActive(two, access_token)).toBe(true);
  }
});

test('a dropped session key signs everybody out; a dropped cookie key ends the logins that are under way', async () => {
  const person = createPerson(one, 'signed-in');
  await person.tokensFor(spa);
  const silent = { prompt: 'none', code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };
  expect((await person.authorize(spa, silent)).searchParams.get('code')).toBeTruthy();
  await pair.key('drop', await pair.idOf('token session'));
  await soon(async () =>
    expect((await person.authorize(spa, silent)).searchParams.get('error')).toBe('login_required'),
  );

  const waiting = createPerson(one, 'waiting');
  const page = await waiting.authorize(spa, {
    code_challenge: 'a'.repeat(43),
    code_challenge_method: 'S256',
  });
  expect((await waiting.agent.get(page.pathname)).status).toBe(200);
  await pair.key('rotate', 'cookies');
  one.clock.advance(11);
  await soon(async () => expect(await pair.idOf('cookies', 'verifying')).not.toBe(''));
  expect((await waiting.agent.get(page.pathname)).status).toBe(200);
  await pair.key('drop', await pair.idOf('cookies', 'verifying'));
  await soon(async () => expect((await waiting.agent.get(page.pathname)).status).toBe(400));
});

test('an app chooses the algorithm of its ID tokens, each with a key of its own', async () => {
  const person = createPerson(one, 'chooser');
  for (const [app, alg] of [
    [edwards, 'EdDSA'],
    [pss, 'PS256'],
    [spa, 'RS256'],
  ] as const) {
    const { kid, ...header } = headerOf((await person.tokensFor(app)).id_token);
    expect(header).toMatchObject({ alg });
    expect((await jwks(two)).find((key) => key.kid === kid)).toMatchObject({ alg, use: 'sig' });
  }
  for (const key of await jwks(one)) {
    for (const part of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) expect(Object.keys(key)).not.toContain(part);
  }
});

test('the commands refuse what would cost more than it helps, and print no key', async () => {
  const listed = await pair.key('list');
  const rows = await one.database.query<{ kind: string }>('select kind from keys');
  expect(listed.trim().split('\n')).toHaveLength(rows.length);
  for (const kind of ['secret', 'opaque fake']) {
    const refused = { stderr: expect.stringContaining(`"${kind}"`) };
    await expect(pair.key('drop', await pair.idOf(kind))).rejects.toMatchObject(refused);
    await expect(pair.key('rotate', ...kind.split(' '))).rejects.toMatchObject(refused);
  }
  await expect(pair.key('drop', 'nothing')).rejects.toMatchObject({
    stderr: expect.stringContaining('there is no key nothing'),
  });
});
