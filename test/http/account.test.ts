/** The account page: who is let in, what it shows, and what it ends. Two instances on one storage. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { idsOn, openAccount, postForm } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { asApp, createPerson, interactionOf, isAlive } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { begin } from '../support/visits.ts';

const { web, intranet } = apps;
const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const offline = { scope: 'openid offline_access', prompt: 'consent' };

const resource = {
  audience: 'https://api.example/reports',
  scopes: ['reports:read'],
  token_format: 'v4.public' as const,
  token_seconds: 600,
};
/** An app that refreshes nothing, with tokens for that API: they name no session and no family. */
const plain = { ...intranet, client_id: 'plain', grant_types: ['authorization_code'] };

let server: TestServer;
let other: TestServer;
beforeAll(async () => {
  const options = { clients: [...Object.values(apps), plain], resources: [resource] };
  server = await startServer(options);
  other = await startServer({ ...options, beside: server });
});
afterAll(async () => {
  await other.close();
  await server.close();
});

/** Whether the other instance takes the token for active. */
const isActive = async (token: string): Promise<boolean> => isAlive(other, token);
const refresh = async (token: string) =>
  (await asApp(other, web, { grant_type: 'refresh_token', refresh_token: token })).status;
const events = async (event: string) => {
  await server.audit.flush();
  return written(event);
};
const written = (event: string) =>
  server.database.query<{ account_id: string; client_id: string | null; detail: object }>(
    'select account_id, client_id, detail from audit_log where event = $1 order by id desc',
    [event],
  );

test('nobody is shown an account: the way leads through both factors and back, and leaves no code or token', async () => {
  const person = createPerson(server, 'ann');
  const closed = await person.agent.get('/account');
  expect(closed.status).toBe(303);
  const start = await person.agent.get(String(closed.headers.location));
  const uid = interactionOf(new URL(String(start.headers.location), server.url)) ?? '';
  await person.register(uid);
  // With the password alone there is still no way in.
  expect((await person.agent.get('/account')).status).toBe(303);
  const { body } = await person.setUpTotp(uid);
  const back = await person.agent.get(new URL(body.location).pathname);
  const landed = new URL(String(back.headers.location));
  expect(landed.origin + landed.pathname).toBe(`${server.url}/account/signed-in`);
  expect([...landed.searchParams.keys()]).toEqual(['iss']);
  expect((await person.agent.get(landed.pathname)).headers.location).toBe('/account');
  const page = await person.agent.get('/account');
  expect(page.text).toContain('ann');
  expect(page.headers).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
  expect(page.headers['content-security-policy']).toContain("frame-ancestors 'none'");
});

test('who is signed in for an app is let in at once; an answer with an error goes round in no circle', async () => {
  const person = createPerson(server, 'ben');
  await person.codeFor(intranet);
  expect((await person.agent.get('/account')).status).toBe(200);
  const failed = await person.agent.get('/account/signed-in?error=server_error');
  expect([failed.status, failed.headers.location]).toEqual([400, undefined]);
  const stranger = await request(server.url).post('/account/sessions/end').send({ session: 'x' });
  expect([stranger.status, stranger.body.error]).toEqual([401, 'sign_in_required']);
});

test('the page names the sessions, the apps with what they may do, and the recovery codes that are left', async () => {
  const person = createPerson(server, 'cleo');
  person.agent.set('user-agent', firefox);
  await openAccount(person);
  await person.tokensFor(web, { scope: 'openid email' });
  const { text } = await person.agent.get('/account');
  expect(text).toContain('cleo@x.example');
  expect(text).toContain('Firefox on Linux');
  expect(text).toContain('This one');
  expect(text).toContain('10 left');
  expect(idsOn(text, 'session')).toHaveLength(1);
  // The page itself is no app with access.
  expect(idsOn(text, 'client')).toEqual(['web']);
  expect(text).toContain('See your e-mail address');
});

test('a session that is signed out there is dead, with the tokens of its duration; the others live on', async () => {
  const here = createPerson(server, 'dan');
  await openAccount(here);
  const there = createPerson(server, 'dan');
  there.totpSecret = here.totpSecret;
  const tokens = await there.tokensFor(web);
  const kept = await here.tokensFor(web);
  await openAccount(there);
  expect(idsOn((await here.agent.get('/account')).text, 'session')).toHaveLength(2);
  const current = /This one[\s\S]*?name="session" value="([^"]+)"/;
  const [, theirs = ''] = current.exec((await there.agent.get('/account')).text) ?? [];
  const ended = await postForm(here, 'sessions/end', { session: theirs });
  expect([ended.status, ended.headers.location]).toEqual([303, '/account']);
  expect((await there.agent.get('/account')).status).toBe(303);
  expect(await isActive(tokens.access_token)).toBe(false);
  expect(await refresh(tokens.refresh_token)).toBe(400);
  expect((await here.agent.get('/account')).status).toBe(200);
  expect(await isActive(kept.access_token)).toBe(true);
  expect((await events('session.ended'))[0]).toMatchObject({ detail: { by: 'owner', ended: true } });
});

test('with a session end the tokens that APIs check by themselves, as far as they can ask', async () => {
  const person = createPerson(server, 'deb');
  await openAccount(person);
  const asked = { scope: 'openid reports:read', resource: resource.audience };
  const { access_token: token } = await person.tokensFor(plain, asked);
  expect(token).toMatch(/^v4\.public\./);
  const active = async () => (await asApp(other, plain, { token }, '/token/introspection')).body.active;
  expect(await active()).toBe(true);
  const [session = ''] = idsOn((await person.agent.get('/account')).text, 'session');
  await postForm(person, 'sessions/end', { session });
  expect(await active()).toBe(false);
});

test('another account’s session, app and grants cannot be ended by their ids', async () => {
  const victim = createPerson(server, 'eve-victim');
  await openAccount(victim);
  const tokens = await victim.tokensFor(web);
  const [session = ''] = idsOn((await victim.agent.get('/account')).text, 'session');
  const thief = createPerson(server, 'eve-thief');
  await openAccount(thief);
  expect((await postForm(thief, 'sessions/end', { session })).headers.location).toBe('/account');
  expect((await postForm(thief, 'apps/remove', { client: 'web' })).headers.location).toBe('/account');
  expect((await victim.agent.get('/account')).status).toBe(200);
  expect(await isActive(tokens.access_token)).toBe(true);
  expect(await refresh(tokens.refresh_token)).toBe(200);
});

test('an app that is removed loses its access at once, offline access too, and asks again', async () => {
  const person = createPerson(server, 'fay');
  await openAccount(person);
  const tokens = await person.tokensFor(web, offline);
  const intact = await person.tokensFor(intranet);
  await postForm(person, 'apps/remove', { client: 'web' });
  expect(await isActive(tokens.access_token)).toBe(false);
  expect(await refresh(tokens.refresh_token)).toBe(400);
  expect(await isActive(intact.access_token)).toBe(true);
  expect(idsOn((await person.agent.get('/account')).text, 'client')).toEqual(['intranet']);
  await expect(
    begin(person, web, { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' }),
  ).resolves.toMatch(/.+/);
  expect((await events('grant.removed'))[0]).toMatchObject({ client_id: 'web' });
});

test('an app is listed as long as it can have tokens: offline access after the sign-out, all else not', async () => {
  const person = createPerson(server, 'gus');
  await openAccount(person);
  await person.tokensFor(web, offline);
  await person.tokensFor(intranet);
  const [session = ''] = idsOn((await person.agent.get('/account')).text, 'session');
  const ended = await postForm(person, 'sessions/end', { session });
  expect(ended.headers.location).toBe('/account/signed-out');
  expect((await person.agent.get('/account/signed-out')).status).toBe(200);
  server.clock.advance(1000);
  expect(idsOn((await openAccount(person)).text, 'client')).toEqual(['web']);
});

test('signed out everywhere: every session, family and token is dead, on every instance, and this browser too', async () => {
  const person = createPerson(server, 'hal');
  await openAccount(person);
  const tokens = await person.tokensFor(web, offline);
  const elsewhere = createPerson(server, 'hal');
  elsewhere.totpSecret = person.totpSecret;
  await openAccount(elsewhere);
  const before = cookiesOf(person, '/account');
  const ended = await postForm(person, 'sessions/end-all');
  expect([ended.status, ended.headers.location]).toEqual([303, '/account/signed-out']);
  expect(await written('account.signed_out')).toMatchObject([{ detail: { by: 'owner' } }]);
  expect(cookiesOf(person, '/account')).not.toHaveProperty('cypher_session');
  expect((await elsewhere.agent.get('/account')).status).toBe(303);
  const revived = await request(other.url).get('/account').set('cookie', cookieHeader(before));
  expect(revived.status).toBe(303);
  expect(await isActive(tokens.access_token)).toBe(false);
  expect(await refresh(tokens.refresh_token)).toBe(400);
});

test('a post from another site is refused at every address, and changes nothing', async () => {
  const person = createPerson(server, 'ida');
  await openAccount(person);
  const paths = [
    'sessions/end',
    'sessions/end-all',
    'apps/remove',
    'password/init',
    'password/finish',
    'authenticator',
  ];
  for (const change of ['password', 'authenticator', 'recovery-codes'])
    paths.push(`${change}/proof/init`, `${change}/proof/finish`);
  for (const path of [...paths, 'recovery-codes']) {
    for (const headers of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }] as Record<
      string,
      string
    >[]) {
      const answer = await postForm(person, path, { session: 'x', client: 'web' }, headers);
      expect(answer.status, path).toBe(403);
    }
  }
  expect((await person.agent.get('/account')).status).toBe(200);
});
