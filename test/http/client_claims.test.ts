/** A client's own claims, by the mapping in its entry. */
import { decodeJwt } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clientSchema } from '../../src/config/client_schema.ts';
import { apps } from '../support/apps.ts';
import { createPerson, interactionOf, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { intranet, web } = apps;
const wiki = {
  ...intranet,
  client_id: 'wiki',
  subject_type: 'pairwise',
  claims: {
    'https://wiki.example/role': { value: ['reader', 'writer'] },
    nickname: { from: 'preferred_username' },
    mail: { from: 'email' },
    uid: { from: 'sub' },
  },
};
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), wiki] });
  ada = createPerson(server, 'ada');
  const uid = interactionOf(await ada.authorize(intranet)) ?? '';
  await ada.follow(await ada.signUp(uid, 'ada@example.org'));
});
afterAll(() => server.close());

const me = async (token: string) =>
  (await request(server.url).get('/me').auth(token, { type: 'bearer' })).body;

test('mapped claims are in ID token and userinfo; one from another claim only where that one was granted', async () => {
  const tokens = await ada.tokensFor(wiki, { scope: 'openid profile' });
  const { sub } = decodeJwt(tokens.id_token);
  const mapped = { 'https://wiki.example/role': ['reader', 'writer'], nickname: 'ada', uid: sub };
  expect(decodeJwt(tokens.id_token)).toMatchObject(mapped);
  expect(await me(tokens.access_token)).toEqual({ sub, preferred_username: 'ada', ...mapped });
  expect(decodeJwt(tokens.id_token)).not.toHaveProperty('mail');
  const bare = await ada.tokensFor({ ...wiki }, { scope: 'openid email', prompt: 'login' });
  expect(await me(bare.access_token)).toMatchObject({ mail: 'ada@example.org' });
});

test('other clients hear nothing of it', async () => {
  const tokens = await ada.tokensFor(web, { scope: 'openid profile' });
  expect(Object.keys(await me(tokens.access_token))).toEqual(['sub', 'preferred_username']);
});

test.each([
  'sub',
  'iss',
  'aud',
  'acr',
  'amr',
  'auth_time',
  'nonce',
  'exp',
  'client_id',
  'azp',
  'at_hash',
  'cnf',
])('a mapping cannot say what the protocol says: %s', (name) => {
  const entry = { ...intranet, claims: { [name]: { value: 'x' } } };
  expect(clientSchema.safeParse(entry).error?.issues[0]?.path).toEqual(['claims', name]);
});

test.each([
  { from: 'password' },
  { from: 'email', value: 'x' },
  {},
  'x',
  { value: { a: 1 } },
  { value: null },
])('a mapping is a value or the name of a claim: %j', (source) => {
  expect(clientSchema.safeParse({ ...intranet, claims: { role: source } }).success).toBe(false);
});
