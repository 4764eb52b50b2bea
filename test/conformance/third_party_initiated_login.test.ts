/** OpenID's plan for logins that another party begins: the address for them is kept, and must be https. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startServer, type TestServer } from '../support/server.ts';
import { makeClientKey, register, registered } from './dynamic_party.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ settings: { REGISTRATION: 'open' } });
});
afterAll(() => server.close());

test('oidcc-3rd_party-init-login', async () => {
  const initiate_login_uri = 'https://rp.example/initiate_login';
  const { body } = await registered(server, await makeClientKey('a key'), {
    token: '',
    metadata: { initiate_login_uri },
  });
  expect(body.initiate_login_uri).toBe(initiate_login_uri);
  const { pathname } = new URL(body.registration_client_uri);
  const kept = await request(server.url)
    .get(pathname)
    .auth(body.registration_access_token, { type: 'bearer' });
  expect([kept.status, kept.body.initiate_login_uri]).toEqual([200, initiate_login_uri]);
  expect(kept.headers['content-type']).toMatch(/^application\/json/);
});

test('oidcc-3rd_party-init-login-nohttps', async () => {
  const answer = await register(server, '', {
    redirect_uris: ['https://rp.example/callback'],
    initiate_login_uri: 'http://rp.example/initiate_login',
  });
  expect([answer.status, answer.body.error]).toEqual([400, 'invalid_client_metadata']);
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
});
