/** What does not pass for an access token: tokens of other kinds, and texts that somebody has worked on. */

import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openKeyring } from '../../src/keys/keyring.ts';
import { createSealer } from '../../src/lib/crypto.ts';
import { createLog } from '../../src/lib/log.ts';
import { keyKinds, tokenKeysetOf } from '../../src/server_keys.ts';
import { createTokens } from '../../src/tokens/tokens.ts';
import { createV4Local } from '../../src/tokens/v4_local.ts';
import { altered } from '../support/altered.ts';
import { apps } from '../support/apps.ts';
import { asApp, challengeOf, createPerson, type Person, verifier } from '../support/person.ts';
import { kek, startServer, type TestServer } from '../support/server.ts';

const { web } = apps;
const clients = Object.values(apps);
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients });
  ada = createPerson(server, 'ada');
});
afterAll(() => server.close());

const introspected = async (at: TestServer, token: string) =>
  (await asApp(at, web, { token }, '/token/introspection')).body;
const me = (token: string) => request(server.url).get('/me').auth(token, { type: 'bearer' });
const refresh = (refresh_token: string) => asApp(server, web, { grant_type: 'refresh_token', refresh_token });

test('Tokens: an ID token, a code or a refresh token used as access token → 401', async () => {
  const tokens = await ada.tokensFor(web);
  const challenge = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
  const session = /cypher_session=([^;]+)/.exec(
    String((await ada.agent.get('/auth').query({ client_id: 'web' })).headers['set-cookie']),
  )?.[1];
  const wrong = [
    tokens.id_token,
    await ada.codeFor(web, challenge),
    tokens.refresh_token,
    session ?? '',
    'x',
  ];
  for (const token of wrong) {
    const answer = await me(token);
    expect.soft([token.slice(0, 20), answer.status]).toEqual([token.slice(0, 20), 401]);
    expect.soft(answer.headers['www-authenticate']).toContain('invalid_token');
    // To its own app a refresh token is active, as what it is.
    const { active = false } = token === tokens.refresh_token ? {} : await introspected(server, token);
    expect.soft(active).toBe(false);
  }
  const swapped = await refresh(tokens.access_token);
  expect([swapped.status, swapped.body.error]).toEqual([400, 'invalid_grant']);
  expect((await me(tokens.access_token)).status).toBe(200);
});

test('PASETO: flipped bit, other version, other purpose, footer of another key, a megabyte → refused', async () => {
  const { access_token, refresh_token } = await ada.tokensFor(web);
  const parts = access_token.split('.');
  const payload = Buffer.from(parts[2] ?? '', 'base64url');
  const flipped = [0, 40, payload.length - 1].map((at) => {
    const bytes = Buffer.from(payload);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return ['v4.local', bytes.toString('base64url'), parts[3]].join('.');
  });
  const footer = (object: string) =>
    access_token.replace(/[^.]+$/, Buffer.from(object).toString('base64url'));
  for (const token of [
    ...flipped,
    access_token.replace('v4.', 'v3.'),
    access_token.replace('local', 'public'),
    access_token.replace(/\.[^.]+$/, ''),
    access_token.replace(/[^.]+$/, refresh_token.split('.')[3] ?? ''),
    footer('{"kid":"k4.lid.unknown"}'),
    footer(`{"a":${'['.repeat(1000)}${']'.repeat(1000)}}`),
    footer('{"kid":"k4.lid.x","key":"k4.local.AAAA"}'),
    altered(access_token, -1),
  ]) {
    expect.soft([token.slice(0, 60), (await me(token)).status]).toEqual([token.slice(0, 60), 401]);
  }
  // By form: a header of this size does not reach the server.
  const huge = await asApp(
    server,
    web,
    { token: `v4.local.${'A'.repeat(1_000_000)}` },
    '/token/introspection',
  );
  expect(huge.body).not.toMatchObject({ active: true });
});

test('PASETO: wrong type, wrong issuer, wrong implicit assertion, expired → refused, though made with the server’s own key', async () => {
  const { now } = server.clock;
  const log = createLog('silent');
  const keyring = await openKeyring(server.database, createSealer(kek), keyKinds, { log, now });
  const { access } = tokenKeysetOf(keyring);
  const { kid, ...signing } = access.signing;
  if (signing.purpose !== 'local') throw new Error('the keys of access tokens are local ones');
  const seconds = Math.floor(now() / 1000);
  const at = (time: number) => new Date(time * 1000).toISOString();
  const kept = createTokens({ issuer: server.url, keyset: tokenKeysetOf(keyring), now });
  const { access_token } = await ada.tokensFor(web);
  const right = {
    ...(await kept.open('access', access_token)),
    iat: at(seconds),
    exp: at(seconds + 60),
  };
  const forge = (body: object, implicit: string[] = [server.url, 'access']) =>
    createV4Local(
      signing.key,
      Buffer.from(JSON.stringify({ kid })),
      Buffer.from(JSON.stringify(implicit)),
    ).seal(Buffer.from(JSON.stringify({ ...right, ...body })));
  expect((await me(forge({}))).status).toBe(200);
  for (const [name, token] of Object.entries({
    type: forge({ type: 'refresh' }),
    issuer: forge({ iss: 'https://other.example' }),
    'implicit issuer': forge({}, ['https://other.example', 'access']),
    'implicit type': forge({}, [server.url, 'refresh']),
    expired: forge({ iat: at(seconds - 60), exp: at(seconds - 1) }),
    'no end': forge({ exp: undefined }),
    'of the future': forge({ iat: at(seconds + 120), exp: at(seconds + 180) }),
  })) {
    expect.soft([name, (await me(token)).status]).toEqual([name, 401]);
    expect.soft([name, await introspected(server, token)]).toEqual([name, { active: false }]);
  }
});

test('an expired access token is refused', async () => {
  const alone = await startServer({ clients });
  const { access_token } = await createPerson(alone, 'ada').tokensFor(web);
  const status = async () =>
    (await request(alone.url).get('/me').auth(access_token, { type: 'bearer' })).status;
  alone.clock.advance(840);
  expect(await status()).toBe(200);
  alone.clock.advance(60);
  expect(await status()).toBe(401);
  expect(await introspected(alone, access_token)).toEqual({ active: false });
  await alone.close();
});
