/** Revocation on one instance, seen on the other; whose it is to revoke; and where it cannot be written. */
import pg from 'pg';
import request from 'supertest';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { createLog } from '../../src/lib/log.ts';
import { createSweeper } from '../../src/storage/sweeper.ts';
import { apps } from '../support/apps.ts';
import { type App, asApp, createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, spa, api, machine, intranet } = apps;
const clients = Object.values(apps);
let server: TestServer;
let other: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients });
  other = await startServer({ clients, beside: server });
  ada = createPerson(server, 'ada');
});
afterAll(async () => {
  await other.close();
  await server.close();
});

const revoke = (at: TestServer, app: App, token: string, more = {}) =>
  asApp(at, app, { token, ...more }, '/token/revocation');
const refresh = (at: TestServer, app: App, refresh_token: string) =>
  asApp(at, app, { grant_type: 'refresh_token', refresh_token });
const introspected = async (at: TestServer, app: App, token: string) =>
  (await asApp(at, app, { token }, '/token/introspection')).body;
const me = (token: string) => request(server.url).get('/me').auth(token, { type: 'bearer' });

test.each(['access_token', 'refresh_token'] as const)(
  'Tokens: revoke the %s on one instance → its family is inactive on the other; the others live on',
  async (which) => {
    const [first, second] = [await ada.tokensFor(web), await ada.tokensFor(web)];
    const rotated = (await refresh(server, web, first.refresh_token)).body;
    const presented = which === 'access_token' ? first.access_token : rotated.refresh_token;
    expect((await revoke(server, web, presented, { token_type_hint: which })).status).toBe(200);
    for (const token of [first.access_token, rotated.access_token])
      expect.soft(await introspected(other, web, token)).toEqual({ active: false });
    expect.soft(await introspected(other, web, rotated.refresh_token)).toEqual({ active: false });
    expect.soft((await me(first.access_token)).status).toBe(401);
    expect.soft((await refresh(other, web, rotated.refresh_token)).body.error).toBe('invalid_grant');
    expect.soft((await introspected(other, web, second.access_token)).active).toBe(true);
    expect.soft((await refresh(other, web, second.refresh_token)).status).toBe(200);
    const repeated = await revoke(other, web, presented);
    expect([repeated.status, repeated.text]).toEqual([200, '']);
  },
);

test('Clock: a database whose clock is set back half an hour → what was revoked stays inactive', async () => {
  const { access_token } = await ada.tokensFor(web);
  expect((await introspected(server, web, access_token)).active).toBe(true);
  expect((await revoke(server, web, access_token)).status).toBe(200);
  server.clock.advance(1800);
  await createSweeper(server.database, createLog('silent'), server.clock.now).sweep();
  server.clock.advance(-1800);
  expect(await introspected(server, web, access_token)).toEqual({ active: false });
  expect(await introspected(other, web, access_token)).toEqual({ active: false });
  expect((await me(access_token)).status).toBe(401);
});

test('another app’s revocation has no effect, and says nothing', async () => {
  const tokens = await ada.tokensFor(web);
  for (const app of [spa, machine, intranet, api]) {
    for (const token of [tokens.access_token, tokens.refresh_token]) {
      const answer = await revoke(server, app, token);
      expect.soft([answer.status, answer.text]).toEqual([200, '']);
    }
    expect.soft((await introspected(other, app, tokens.refresh_token)).active).toBe(false);
  }
  expect((await introspected(other, web, tokens.access_token)).active).toBe(true);
  expect((await refresh(other, web, tokens.refresh_token)).status).toBe(200);
});

test('Tokens: introspection unauthenticated → 401; a public app learns nothing', async () => {
  const { access_token } = await ada.tokensFor(spa);
  const path = '/token/introspection';
  const ask = (form: object) =>
    request(server.url)
      .post(path)
      .type('form')
      .send({ token: access_token, ...form });
  expect.soft((await ask({ client_id: api.client_id })).status).toBe(401);
  expect.soft((await ask({ client_id: api.client_id, client_secret: 'wrong' })).status).toBe(401);
  expect.soft((await ask({})).status).toBe(400);
  expect.soft((await ask({ client_id: spa.client_id })).body).toEqual({ active: false });
  const ofWeb = (await ada.tokensFor(web)).access_token;
  expect(await introspected(server, web, ofWeb)).toMatchObject({
    active: true,
    client_id: web.client_id,
    token_type: 'Bearer',
    iss: server.url,
  });
});

test('Tokens: a storage fault during revocation → 503, never 200; afterwards it works', async () => {
  const tokens = await ada.tokensFor(web);
  const [row] = await server.database.query<{ name: string }>('select current_database() as name');
  const admin = new pg.Client({ connectionString: inject('postgresUrl') });
  await admin.connect();
  await admin.query(`alter database ${row?.name} allow_connections false`);
  await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [row?.name]);
  for (const token of [tokens.access_token, tokens.refresh_token]) {
    const answer = await revoke(server, web, token);
    expect.soft([answer.status, answer.body.error]).toEqual([503, 'temporarily_unavailable']);
    expect.soft(answer.headers['retry-after']).toBeDefined();
  }
  expect.soft((await me(tokens.access_token)).status).toBe(503);
  expect.soft((await refresh(server, web, tokens.refresh_token)).status).toBe(503);
  await admin.query(`alter database ${row?.name} allow_connections true`);
  await admin.end();
  expect((await revoke(server, web, tokens.refresh_token)).status).toBe(200);
  expect(await introspected(other, web, tokens.access_token)).toEqual({ active: false });
});

test('Tokens: revocation that cannot be written is never a 200', async () => {
  const tokens = await ada.tokensFor(web);
  await server.database.query('alter table revocations add constraint full_disk check (false) not valid');
  for (const token of [tokens.access_token, tokens.refresh_token])
    expect.soft((await revoke(server, web, token)).status).toBeGreaterThanOrEqual(500);
  await server.database.query('alter table revocations drop constraint full_disk');
  expect((await introspected(other, web, tokens.access_token)).active).toBe(true);
});

test('Tokens: a revocation that failed half-way is whole when it is repeated', async () => {
  const tokens = await ada.tokensFor(web);
  await server.database.query(
    'alter table refresh_families add constraint held check (ended_at is null) not valid',
  );
  expect((await revoke(server, web, tokens.access_token)).status).toBeGreaterThanOrEqual(500);
  await server.database.query('alter table refresh_families drop constraint held');
  expect((await revoke(other, web, tokens.access_token)).status).toBe(200);
  expect((await introspected(other, web, tokens.access_token)).active).toBe(false);
  expect((await refresh(server, web, tokens.refresh_token)).body.error).toBe('invalid_grant');
});
