/** Sign-out: who is asked what, what ends with it on every instance, what lives on, and that nothing revives it. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { cookiesOf } from '../support/cookies.ts';
import {
  type App,
  asApp,
  createPerson,
  interactionOf,
  isAlive,
  type Person,
  type TokenAnswer,
} from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, spa, intranet } = apps;
const clients = Object.values(apps);
let server: TestServer;
let other: TestServer;
beforeAll(async () => {
  server = await startServer({ clients });
  other = await startServer({ clients, beside: server });
});
afterAll(async () => {
  await other.close();
  await server.close();
});

let people = 0;
const somebody = () => createPerson(server, `person-${people++}`);
const endSession = (person: Person, query: object = {}) =>
  person.agent.get('/session/end').query(query).accept('html');
const xsrfOf = (page: request.Response) => /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
const confirm = (person: Person, xsrf: string) =>
  person.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
const signOut = async (person: Person, query: object = {}) =>
  confirm(person, xsrfOf(await endSession(person, query)));
const home = async (person: Person) => (await person.agent.get('/').accept('html')).text;
const refresh = (app: App, tokens: TokenAnswer) =>
  asApp(other, app, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token });
const active = async (token: string): Promise<boolean> => isAlive(other, token);
const sessionCookie = (answer: request.Response) =>
  (answer.headers['set-cookie'] as unknown as string[] | undefined)?.find((line) =>
    line.startsWith('cypher_session='),
  );

test('Session and cookies: logout without a hint asks first, and a forged answer does not sign out', async () => {
  const ada = somebody();
  await ada.tokensFor(web);
  expect(await home(ada)).toContain(ada.username);
  const page = await endSession(ada);
  expect(page.status).toBe(200);
  expect(page.text).toMatch(/<button[^>]*>Sign out<\/button>/);
  expect(page.text).toContain(ada.username);
  expect(page.headers['cache-control']).toBe('no-store');
  expect(page.headers['content-security-policy']).toContain("frame-ancestors 'none'");
  expect(await home(ada)).toContain(ada.username);
  for (const xsrf of ['', 'x'.repeat(48)]) expect((await confirm(ada, xsrf)).status).toBe(400);
  expect(await home(ada)).toContain(ada.username);
  const done = await confirm(ada, xsrfOf(page));
  expect([done.status, done.headers.location]).toEqual([303, `${server.url}/session/end/success`]);
  expect((await ada.agent.get('/session/end/success').accept('html')).status).toBe(200);
  expect(await home(ada)).not.toContain(ada.username);
});

test('a hint of this session signs out without a question, and the app gets its state back at a registered address only', async () => {
  const bob = somebody();
  const tokens = await bob.tokensFor(web);
  const hint = { id_token_hint: tokens.id_token, state: 'a state' };
  const away = { ...hint, post_logout_redirect_uri: 'https://evil.example/' };
  const refused = await endSession(bob, away);
  expect([refused.status, refused.headers.location]).toEqual([400, undefined]);
  const unsigned = `${tokens.id_token.split('.').slice(0, 2).join('.')}.`;
  for (const id_token_hint of [unsigned, `${unsigned}AAAA`])
    expect((await endSession(bob, { ...hint, id_token_hint })).status).toBe(400);
  expect(await home(bob)).toContain(bob.username);
  // Without an app there is no registered address to go to.
  const unnamed = await signOut(somebody(), { post_logout_redirect_uri: web.post_logout_redirect_uris[0] });
  expect(unnamed.headers.location).toBe(`${server.url}/session/end/success`);
  const done = await endSession(bob, { ...hint, post_logout_redirect_uri: web.post_logout_redirect_uris[0] });
  expect([done.status, done.headers.location]).toEqual([303, 'https://web.example/?state=a+state']);
  expect(sessionCookie(done)).toMatch(/^cypher_session=;/);
  expect(await home(bob)).not.toContain(bob.username);
  expect(await active(tokens.access_token)).toBe(false);
});

test('a hint of another person or of an app that is not signed in to here asks first, and staying leads back to the app', async () => {
  const [mine, others] = [somebody(), somebody()];
  const { id_token } = await others.tokensFor(web);
  await mine.tokensFor(intranet);
  const hint = {
    id_token_hint: id_token,
    post_logout_redirect_uri: 'https://web.example/',
    state: 'a state',
  };
  const page = await endSession(mine, hint);
  expect([page.status, page.text.includes('Sign out?')]).toEqual([200, true]);
  expect(page.text).toMatch(/<a [^>]*href="https:\/\/web\.example\/\?state=a\+state">Stay signed in/);
  const nowhere = await endSession(mine);
  expect(nowhere.text).toMatch(/<a [^>]*href="\/">Stay signed in/);
  // The person's own hint, in a browser where that app has no part in the session.
  const elsewhere = createPerson(server, mine.username);
  const own = await Object.assign(elsewhere, { totpSecret: mine.totpSecret }).tokensFor(web);
  expect((await endSession(mine, { ...hint, id_token_hint: own.id_token })).status).toBe(200);
  expect(await home(mine)).toContain(mine.username);
  expect(await home(elsewhere)).toContain(mine.username);
});

test('a hint that cannot be verified any more asks instead of failing: its app or its key is gone', async () => {
  const ida = somebody();
  const { id_token } = await ida.tokensFor(web);
  const [header = '', claims = '', signature = ''] = id_token.split('.');
  const part = (text: string, more: object) =>
    Buffer.from(
      JSON.stringify({ ...JSON.parse(Buffer.from(text, 'base64url').toString()), ...more }),
    ).toString('base64url');
  const keyGone = [part(header, { kid: 'dropped' }), claims, signature].join('.');
  const appGone = [header, part(claims, { aud: 'removed' }), signature].join('.');
  const algChanged = [part(header, { alg: 'ES256' }), claims, signature].join('.');
  for (const id_token_hint of [keyGone, appGone, algChanged]) {
    for (const path of ['/session/end', '/session/end/', '/Session/End']) {
      const query = { id_token_hint, post_logout_redirect_uri: 'https://web.example/' };
      const page = await ida.agent.get(path).query(query).accept('html');
      expect.soft([path, page.status, page.text.includes('Sign out?')]).toEqual([path, 200, true]);
    }
  }
  expect(await home(ida)).toContain(ida.username);
  const named = {
    id_token_hint: keyGone,
    client_id: 'web',
    post_logout_redirect_uri: 'https://web.example/',
  };
  const done = await signOut(ida, named);
  expect(done.headers.location).toBe('https://web.example/');
  expect(await home(ida)).not.toContain(ida.username);
});

test('After logout: refresh, userinfo and introspection of its tokens all refuse, for every app of the session', async () => {
  const cleo = somebody();
  const mine: [App, TokenAnswer][] = [
    [web, await cleo.tokensFor(web)],
    [spa, await cleo.tokensFor(spa)],
    [intranet, await cleo.tokensFor(intranet)],
  ];
  const offline = await cleo.tokensFor(web, { scope: 'openid offline_access', prompt: 'consent' });
  const elsewhere = createPerson(server, cleo.username);
  Object.assign(elsewhere, { totpSecret: cleo.totpSecret });
  const otherBrowser = await elsewhere.tokensFor(spa);
  await signOut(cleo);
  for (const [app, tokens] of mine) {
    expect.soft((await refresh(app, tokens)).body.error).toBe('invalid_grant');
    expect.soft(await active(tokens.access_token)).toBe(false);
    const me = await request(other.url).get('/me').auth(tokens.access_token, { type: 'bearer' });
    expect.soft(me.status).toBe(401);
  }
  // What was granted for longer than the session, and another browser's session, live on.
  expect(await active(offline.access_token)).toBe(true);
  expect((await refresh(web, offline)).status).toBe(200);
  expect(await active(otherBrowser.access_token)).toBe(true);
  expect((await refresh(spa, otherBrowser)).status).toBe(200);
});

test('a code that was not yet redeemed dies with its session', async () => {
  const dan = somebody();
  await dan.tokensFor(intranet);
  const code = await dan.codeFor(intranet);
  await signOut(dan);
  const form = { grant_type: 'authorization_code', code, redirect_uri: intranet.redirect_uri };
  expect((await asApp(server, intranet, form)).body.error).toBe('invalid_grant');
});

test('the session cookie is gone, and its old value revives nothing', async () => {
  const eve = somebody();
  await eve.tokensFor(intranet);
  const cookie = sessionCookie(await eve.agent.get('/auth').query({ ...asked, prompt: 'none' })) ?? '';
  expect(cookie).toMatch(/^cypher_session=v4\.local\..*; path=\/; samesite=lax; httponly; expires=/i);
  const old = cookie.split(';')[0] ?? '';
  const silently = () =>
    request(other.url)
      .get('/auth')
      .query({ ...asked, prompt: 'none' })
      .set('cookie', old)
      .redirects(0);
  expect((await silently()).headers.location).toContain('code=');
  const done = await signOut(eve);
  expect(sessionCookie(done)).toMatch(/^cypher_session=;.*expires=Thu, 01 Jan 1970/i);
  expect((await silently()).headers.location).toContain('error=login_required');
  expect((await request(other.url).get('/').set('cookie', old)).text).not.toContain(eve.username);
});

const asked = {
  client_id: intranet.client_id,
  redirect_uri: intranet.redirect_uri,
  response_type: 'code',
  scope: 'openid',
};

test('a request in flight during the sign-out cannot revive the session', async () => {
  for (let round = 0; round < 3; round++) {
    const fay = somebody();
    await fay.tokensFor(intranet);
    const xsrf = xsrfOf(await endSession(fay));
    const silent = { ...asked, prompt: 'none' };
    const authorizations = () => Array.from({ length: 10 }, () => fay.agent.get('/auth').query(silent));
    const before = authorizations();
    const [ended] = await Promise.all([confirm(fay, xsrf), ...before, ...authorizations()]);
    expect(ended.status).toBe(303);
    const after = await fay.agent.get('/auth').query(silent);
    expect(after.headers.location).toContain('error=login_required');
  }
});

test('another person who signs in in the same browser replaces the first, whose tokens end', async () => {
  const gil = somebody();
  const tokens = await gil.tokensFor(intranet);
  const hana = createPerson(server, `person-${people++}`);
  await hana.tokensFor(intranet);
  const start = await gil.authorize(intranet, { prompt: 'login' });
  Object.assign(hana, { step: gil.step, agent: gil.agent });
  const page = await gil.agent.get((await hana.signIn(interactionOf(start) ?? '')).pathname);
  expect(page.headers['content-security-policy']).toContain("'sha256-");
  const ended = await confirm(gil, xsrfOf(page));
  const back = await gil.follow(new URL(String(ended.headers.location)));
  expect(back.searchParams.get('code')).toBeTruthy();
  expect(await home(gil)).toContain(hana.username);
  expect(await active(tokens.access_token)).toBe(false);
  expect((await refresh(intranet, tokens)).body.error).toBe('invalid_grant');
});

test('who is not signed in and signs out all the same is not asked, and nothing is kept of it', async () => {
  const nobody = somebody();
  const page = await endSession(nobody);
  expect([page.status, page.headers.location]).toEqual([
    303,
    expect.stringContaining('/session/end/success'),
  ]);
  expect(cookiesOf(nobody, '/')).toEqual({});
  expect((await confirm(nobody, 'x')).status).toBe(303);
});

test('a sign-out that an app posts is the same sign-out', async () => {
  const ada = somebody();
  const tokens = await ada.tokensFor(web);
  const form = {
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: 'https://web.example/',
    state: 'a state',
  };
  const posted = await ada.agent.post('/session/end').type('form').send(form);
  expect(posted.status).toBe(303);
  const done = await ada.agent.get(String(posted.headers.location)).accept('html');
  expect([done.status, done.headers.location]).toEqual([303, 'https://web.example/?state=a+state']);
  expect(await active(tokens.access_token)).toBe(false);
});
