/** OpenID's plan for logout that an app begins: where the person is sent, and that nobody is signed in afterwards. */
import { decodeProtectedHeader, generateKeyPair, SignJWT } from 'jose';
import type request from 'supertest';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { expectMetadata } from './metadata.ts';
import { ask, signOut, succeed } from './party.ts';

const rp = { ...apps.web, client_id: 'rp', require_pkce: false };
const home = rp.post_logout_redirect_uris[0] ?? '';
let server: TestServer;
let ada: Person;
let id_token: string;
beforeAll(async () => {
  server = await startServer({ clients: [rp] });
  ada = createPerson(server, 'ada');
});
beforeEach(async () => {
  id_token = (await succeed(server, ada, rp)).tokens.id_token;
});
afterAll(() => server.close());

const usual = () => ({
  id_token_hint: id_token,
  post_logout_redirect_uri: home,
  state: 'the state of the logout',
});
const signedIn = async () => (await ask(server, ada, rp, { prompt: 'none' })).params.error === undefined;

/** The person was shown an error, and neither sent elsewhere nor signed out. */
async function expectRefusal(answer: request.Response): Promise<void> {
  expect([answer.status, answer.headers.location]).toEqual([400, undefined]);
  expect(answer.headers['content-type']).toMatch(/^text\/html/);
  expect(await signedIn()).toBe(true);
}

/** The person was told that they are signed out by a page of ours, and asked before unless the app proved who they are. */
async function expectOurPage(
  { page, location }: Awaited<ReturnType<typeof signOut>>,
  asks = true,
): Promise<void> {
  expect([page.status, page.text.includes('Sign out?')]).toEqual(asks ? [200, true] : [303, false]);
  expect(location?.href).toBe(`${server.url}/session/end/success`);
  const done = await ada.agent.get('/session/end/success').accept('html');
  expect(done.text).toContain('signed out');
  expect(await signedIn()).toBe(false);
}

test('oidcc-rp-initiated-logout-discovery-endpoint-verification', async () => {
  const { end_session_endpoint } = await expectMetadata(server, server.url);
  expect(new URL(end_session_endpoint).pathname).toBe('/session/end');
});

test('oidcc-rp-initiated-logout', async () => {
  const { location } = await signOut(ada, usual());
  expect(location?.href.split('?')[0]).toBe(home);
  expect([...(location?.searchParams ?? [])]).toEqual([['state', 'the state of the logout']]);
  expect(await signedIn()).toBe(false);
});

test('oidcc-rp-initiated-logout-bad-post-logout-redirect-uri', async () => {
  const { page } = await signOut(ada, { ...usual(), post_logout_redirect_uri: 'https://rp.example/other' });
  await expectRefusal(page);
});

test('oidcc-rp-initiated-logout-modified-id-token-hint', async () => {
  const [, claims] = id_token.split('.');
  const none = Buffer.from('{"alg":"none"}').toString('base64url');
  const { page } = await signOut(ada, { ...usual(), id_token_hint: `${none}.${claims}.` });
  await expectRefusal(page);
});

test('oidcc-rp-initiated-logout-no-id-token-hint', async () => {
  // Nobody knows whose address that is: the person is asked, and stays here.
  const { id_token_hint: _, ...rest } = usual();
  await expectOurPage(await signOut(ada, rest));
});

test('oidcc-rp-initiated-logout-no-params', async () => {
  await expectOurPage(await signOut(ada, {}));
});

test('oidcc-rp-initiated-logout-no-post-logout-redirect-uri', async () => {
  const { post_logout_redirect_uri: _, ...rest } = usual();
  await expectOurPage(await signOut(ada, rest), false);
});

test('oidcc-rp-initiated-logout-no-state', async () => {
  const { state: _, ...rest } = usual();
  const { location } = await signOut(ada, rest);
  expect(location?.href).toBe(home);
  expect(await signedIn()).toBe(false);
});

test('oidcc-rp-initiated-logout-only-state', async () => {
  await expectOurPage(await signOut(ada, { state: 'the state of the logout' }));
});

test('oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri', async () => {
  const { page } = await signOut(ada, { ...usual(), post_logout_redirect_uri: `${home}?foo=bar` });
  await expectRefusal(page);
});

test('oidcc-rp-initiated-logout-bad-id-token-hint', async () => {
  const { privateKey } = await generateKeyPair('RS256');
  // It says that our key has signed it; whose key is unknown counts for none, see logout.test.ts.
  const { kid } = decodeProtectedHeader(id_token);
  const forged = await new SignJWT({ nonce: 'a nonce' })
    .setProtectedHeader({ alg: 'RS256', kid: String(kid) })
    .setIssuer(server.url)
    .setSubject('somebody')
    .setAudience(rp.client_id)
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(privateKey);
  const { page } = await signOut(ada, { ...usual(), id_token_hint: forged });
  await expectRefusal(page);
});
