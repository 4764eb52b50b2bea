/** A dump of PostgreSQL, or of Redis, holds nothing that can be replayed: no secret that a browser, an app or the server has. */
import { Redis } from 'ioredis';
import type request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openKeyring } from '../../src/keys/keyring.ts';
import { createSealer } from '../../src/lib/crypto.ts';
import { createLog } from '../../src/lib/log.ts';
import { keyKinds, tokenKeysetOf } from '../../src/server_keys.ts';
import { createTokens } from '../../src/tokens/tokens.ts';
import { apps } from '../support/apps.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { dumpOfPostgres, dumpOfRedis, foundIn } from '../support/dump.ts';
import { asApp, challengeOf, createPerson, interactionOf, verifier } from '../support/person.ts';
import { kek, startServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let redisUrl: string;
let drop: () => Promise<void>;
beforeAll(async () => {
  const created = await createDatabase();
  drop = created.drop;
  redisUrl = await createRedisDatabase();
  server = await startServer({
    clients: Object.values(apps),
    storage: { databaseUrl: created.url, redisUrl },
  });
});
afterAll(async () => {
  await server.close();
  await drop();
});

const { web, spa, api } = apps;
const secrets = new Map<string, string | Buffer>();
const kinds = [
  ...'password, client secret, token, code, recovery code, TOTP secret, secret, otpauth_uri'.split(', '),
  ...'request_uri, KE3, token id, key, key-encryption key, id of cookie cypher_session'.split(', '),
  ...'session, interaction.sig, resume.sig, step, device, trail, trail.sig'
    .split(', ')
    .map((name) => `cookie cypher_${name}`),
];
let number = 0;
const secret = (name: string, value: string | Buffer) => secrets.set(`${name} ${number++}`, value);

/** A browser whose cookies, and whatever it is told or sends, are remembered. */
function watched(name: string, password: string) {
  const person = createPerson(server, name, password);
  secret('password', password);
  person.agent.on('response', (answer: request.Response) => {
    for (const line of answer.headers['set-cookie'] ?? []) {
      const [cookie = '', value = ''] = String(line).split(';')[0]?.split('=') ?? [];
      // The interaction's id is in the address of its page, too; without its signature it opens nothing. Of a sign-in that was
      // begun in this browser the cookie's name is what counts, and its value is a time.
      if (value && !/^cypher_(interaction$|resume$|begun_)/.test(cookie)) secret(`cookie ${cookie}`, value);
    }
    for (const [field, value] of Object.entries(answer.body ?? {})) {
      if (['secret', 'otpauth_uri', 'access_token', 'refresh_token', 'id_token'].includes(field))
        secret(field, String(value));
    }
    const location = answer.headers.location ?? answer.body?.location;
    const code = location && new URL(location, server.url).searchParams.get('code');
    if (code) secret('code', code);
  });
  return person;
}

test('Keys, leaks, logs: a dump of PostgreSQL, or of Redis, holds nothing that can be replayed', async () => {
  const ada = watched('ada-of-the-dump', 'a password that is in no dump');
  for (const app of [web, api]) secret('client secret', app.client_secret);
  const tokens = [await ada.tokensFor(web, { scope: 'openid offline_access', prompt: 'consent' })];
  tokens.push((await asApp(server, web, refreshForm(tokens[0]?.refresh_token))).body);
  await asApp(server, api, { token: String(tokens[1]?.access_token) }, '/token/introspection');
  const ended = await ada.tokensFor(spa);
  await asApp(server, spa, { token: ended.access_token }, '/token/revocation');
  for (const { access_token, refresh_token, id_token } of [...tokens, ended]) {
    for (const token of [access_token, refresh_token, id_token]) secret('token', token);
  }
  for (const code of ada.recoveryCodes) secret('recovery code', code);
  secret('TOTP secret', ada.totpSecret);

  // And what is under way: a code that waits, a request that was pushed, logins after KE1 and after the password.
  const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
  expect((await ada.authorize(web, { prompt: 'none', ...pkce })).searchParams.get('code')).toBeTruthy();
  const pushed = await asApp(
    server,
    web,
    {
      client_id: web.client_id,
      response_type: 'code',
      scope: 'openid',
      redirect_uri: web.redirect_uri,
      ...pkce,
    },
    '/request',
  );
  expect(pushed.status).toBe(201);
  secret('request_uri', pushed.body.request_uri.split(':').at(-1));
  await ada.authorize(web, { prompt: 'consent', ...pkce });
  const elsewhere = watched('ada-of-the-dump', ada.password);
  const uid = interactionOf(await elsewhere.authorize(web, pkce)) ?? '';
  const { ke3 } = await elsewhere.loginInit(uid);
  secret('KE3', String(ke3));
  const proved = watched('ada-of-the-dump', ada.password);
  await proved.provePassword(interactionOf(await proved.authorize(web, pkce)) ?? '');
  const setUp = watched('bob-of-the-dump', 'another password for no dump');
  const setUpUid = interactionOf(await setUp.authorize(web, pkce)) ?? '';
  await setUp.register(setUpUid);
  await setUp.step(setUpUid, 'totp/setup', {});

  await addServerSecrets([...tokens, ended].map(({ refresh_token }) => refresh_token));
  const found = new Set([...secrets.keys()].map((name) => name.replace(/( \d+)+$/, '')));
  expect([...found].sort()).toEqual(kinds.sort());

  const redis = new Redis(redisUrl);
  await redis.set('marker', 'a marker of this test');
  redis.disconnect();
  const dumps = { postgres: await dumpOfPostgres(server.database), redis: await dumpOfRedis(redisUrl) };
  // The dumps are dumps, and what is looked for would be found.
  expect(foundIn(dumps.postgres, new Map([['name', 'ada-of-the-dump']]))).toEqual(['name']);
  const [account] = await server.database.query<{ id: string }>('select id from accounts limit 1');
  expect(foundIn(dumps.redis, new Map([['marker', 'a marker of this test']]))).toEqual(['marker']);
  expect(foundIn(dumps.redis, new Map([['account', account?.id ?? '']]))).toEqual([]);
  expect(foundIn(dumps.postgres, secrets)).toEqual([]);
  expect(foundIn(dumps.redis, secrets)).toEqual([]);
});

const refreshForm = (token = '') => ({ grant_type: 'refresh_token', refresh_token: token });

/** What only the server can read: its keys, and the ids inside of refresh and session tokens. */
async function addServerSecrets(refreshTokens: string[]): Promise<void> {
  const { now } = server.clock;
  const log = createLog('silent');
  secret('key-encryption key', kek);
  const keyring = await openKeyring(server.database, createSealer(kek), keyKinds, { log, now });
  for (const kind of Object.keys(keyKinds)) {
    for (const { bytes } of keyring.of(kind)) secret('key', bytes);
  }
  const opaque = keyring.signing('opaque').bytes;
  for (const part of [opaque.subarray(0, 32), opaque.subarray(32, 64)]) secret('key', part);
  const { open } = createTokens({ issuer: server.url, keyset: tokenKeysetOf(keyring), now });
  for (const token of refreshTokens) {
    const claims = await open('refresh', token, { ignoreExpiration: true });
    secret('token id', String(claims?.token_id));
  }
  for (const [name, cookie] of [...secrets].filter(([each]) => each.startsWith('cookie cypher_session '))) {
    secret(`id of ${name}`, String((await open('session', String(cookie)))?.id));
  }
}
