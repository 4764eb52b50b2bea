/** Sessions and cookies under attack: planted, forged, doubled, carried elsewhere; and how long a sign-in lasts. */

import request from 'supertest';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { altered } from '../support/altered.ts';
import { apps } from '../support/apps.ts';
import { behindTls, cookieHeader, cookiesOf } from '../support/cookies.ts';
import { challengeOf, createPerson, interactionOf, type Person, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, begin, signOut, signUp, visit } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    clients: Object.values(apps),
    settings: { SESSION_LIFETIME_SECONDS: '7200' },
  });
});
afterAll(() => server.close());
afterEach(() => vi.restoreAllMocks());

const { intranet } = apps;
const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };

async function signedIn(name: string): Promise<Person> {
  const person = await signUp(server, name);
  await person.follow(await person.signIn(await begin(person, intranet, { prompt: 'login' })));
  return person;
}

/** What the app hears when it asks without a page: a code where the browser is signed in. */
async function silently(cookies: Record<string, string> | string): Promise<'code' | string | null> {
  const { client_id, redirect_uri } = intranet;
  const answer = await request(server.url)
    .get('/auth')
    .query({ client_id, redirect_uri, response_type: 'code', scope: 'openid', prompt: 'none' })
    .set('Cookie', typeof cookies === 'string' ? cookies : cookieHeader(cookies));
  const back = new URL(String(answer.headers.location));
  return back.searchParams.has('code') ? 'code' : back.searchParams.get('error');
}

let ended = 0;
/** A session that nobody is signed in to any more. */
async function endedSession(): Promise<string> {
  const mallory = await signedIn(`mallory-${ended++}`);
  const { cypher_session: cookie = '' } = cookiesOf(mallory, '/');
  await signOut(mallory);
  return cookie;
}

test('Session: an id that was planted before the login is not signed in after it', async () => {
  const planted = await endedSession();
  const ada = await signUp(server, 'ada');
  const victim = createPerson(server, 'ada');
  victim.totpSecret = ada.totpSecret;
  victim.agent.jar.setCookie(`cypher_session=${planted}; path=/`, 'localhost');
  await victim.follow(await victim.signIn(await begin(victim)));
  expect(await silently(cookiesOf(victim, '/'))).toBe('code');
  expect(planted).toMatch(/^v4\.local\./);
  expect(await silently({ cypher_session: planted })).toBe('login_required');
});

test('Session: an answer after a consent that never arrives signs nobody out; after a login the cookie is another', async () => {
  const eve = await signedIn('eve');
  const before = cookiesOf(eve, '/');
  const start = await eve.authorize(apps.web, pkce);
  const allowed = await eve.step(interactionOf(start) ?? '', 'consent', { decision: 'allow' });
  await eve.agent.get(new URL(allowed.body.location).pathname);
  expect(await silently(before)).toBe('code');
  await eve.follow(await eve.signIn(await begin(eve, intranet, { prompt: 'login' })));
  expect(await silently(before)).toBe('login_required');
  expect(await silently(cookiesOf(eve, '/'))).toBe('code');
});

test('Session: a session of the attacker that was planted does not stay when somebody else signs in', async () => {
  const mallory = await signedIn('mallory2');
  const bob = await signUp(server, 'bob');
  bob.agent.jar.setCookie(`cypher_session=${cookiesOf(mallory, '/').cypher_session}; path=/`, 'localhost');
  const uid = await begin(bob, intranet, { prompt: 'login' });
  const resume = await bob.signIn(uid);
  const page = await bob.agent.get(resume.pathname);
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1];
  const ended = await bob.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
  const back = await bob.follow(new URL(String(ended.headers.location), server.url));
  expect(back.searchParams.get('code')).toBeTruthy();
  expect((await bob.agent.get('/')).text).toContain('bob');
  expect(await silently(cookiesOf(mallory, '/'))).toBe('login_required');
});

test('Session: an interaction opened in another browser is refused, page and steps', async () => {
  const { uid } = await visit(server, 'carol');
  const elsewhere = await visit(server, 'dave');
  for (const agent of [request(server.url), elsewhere.person.agent]) {
    for (const page of ['', '/register', '/recovery']) {
      const answer = await agent.get(`/interaction/${uid}${page}`).set('Accept', 'text/html');
      expect([page, answer.status]).toEqual([page, 400]);
      expect(answer.text).toContain('This sign-in has expired');
    }
    const answer = await agent.post(`/interaction/${uid}/login/init`).send({ username: 'carol', ke1: 'x' });
    expect([answer.status, answer.body.error]).toEqual([400, 'interaction_expired']);
    expect((await agent.get(`/auth/${uid}`)).status).toBe(400);
  }
});

test('Cookies: unsigned, forged or doubled ones are ignored', async () => {
  const erin = await signedIn('erin');
  const tokens = await erin.tokensFor(apps.web);
  const session = cookiesOf(erin, '/').cypher_session ?? '';
  const { person, uid } = await afterPassword(server, erin);
  const cookies = cookiesOf(person, `/interaction/${uid}`);
  const flipped = altered(session, -41);
  const forged = [
    '',
    'x',
    'v4.local.x',
    uid,
    flipped,
    `${session}x`,
    tokens.access_token,
    cookies.cypher_step ?? '',
  ];
  for (const value of forged) {
    expect([value, await silently({ cypher_session: value })]).toEqual([value, 'login_required']);
  }
  for (const second of [session, await endedSession(), 'junk']) {
    expect(await silently(`cypher_session=${session}; cypher_session=${second}`)).toBe('login_required');
    expect(await silently(`cypher_session=${second}; cypher_session=${session}`)).toBe('login_required');
  }
  expect(await silently({ cypher_session: session })).toBe('code');
  const page = (sent: Record<string, string>) =>
    request(server.url).get(`/interaction/${uid}`).set('Cookie', cookieHeader(sent));
  expect((await page(cookies)).text).toContain('name="code"');
  const { 'cypher_interaction.sig': signature = '', ...unsigned } = cookies;
  expect((await page(unsigned)).status).toBe(400);
  const wrong = altered(signature, 0);
  expect((await page({ ...cookies, 'cypher_interaction.sig': wrong })).status).toBe(400);
  for (const step of ['x', session, flipped]) {
    expect((await page({ ...cookies, cypher_step: step })).text).toContain('current-password');
  }
});

test('Session: prompt=login and max_age really re-authenticate', async () => {
  const frank = await signedIn('frank');
  expect((await frank.authorize(intranet)).origin).toBe('https://intranet.example');
  const uid = await begin(frank, intranet, { prompt: 'login' });
  expect((await frank.agent.get(`/interaction/${uid}`)).text).toContain('current-password');
  await frank.provePassword(uid);
  const resumed = await frank.agent.get(`/auth/${uid}`);
  expect(resumed.headers.location).toMatch(/^\/interaction\//);
  // The library reads its own clock, which is behind the server's by what the tests have turned that.
  const ahead = server.clock.now() - Date.now();
  const real = Date.now;
  vi.spyOn(Date, 'now').mockImplementation(() => real() + ahead + 500_000);
  expect((await frank.authorize(intranet, { max_age: '600' })).origin).toBe('https://intranet.example');
  vi.mocked(Date.now).mockImplementation(() => real() + ahead + 700_000);
  expect((await frank.authorize(intranet)).origin).toBe('https://intranet.example');
  const silent = await frank.authorize(intranet, { max_age: '600', prompt: 'none' });
  expect(silent.searchParams.get('error')).toBe('login_required');
  expect((await frank.authorize(intranet, { max_age: '600' })).pathname).toMatch(/^\/interaction\//);
});

test('Session: it ends after an hour without use, and at its absolute end whatever its use', async () => {
  const gina = await signedIn('gina');
  const signedInStill = async () =>
    !(await gina.authorize(intranet, { prompt: 'none' })).searchParams.has('error');
  server.clock.advance(3550);
  expect(await signedInStill()).toBe(true);
  server.clock.advance(3550);
  expect(await signedInStill()).toBe(true);
  server.clock.advance(150);
  expect(await signedInStill()).toBe(false);
  const hugo = await signedIn('hugo');
  server.clock.advance(3601);
  expect(await silently(cookiesOf(hugo, '/'))).toBe('login_required');
});

test('Cookies: HttpOnly and SameSite always; on https Secure, and __Host- where the path allows it', async () => {
  const secure = await startServer({ clients: Object.values(apps), issuer: 'https://id.example' });
  try {
    for (const [at, prefix] of [
      [server, /^cypher_/],
      [secure, /^(__Secure-cypher_|__Host-cypher_(session|device|begun_[\w-]+)=)/],
    ] as const) {
      const lines: string[] = [];
      const person = behindTls(createPerson(at, 'ida'));
      person.agent.on('response', (answer: request.Response) =>
        lines.push(...(answer.headers['set-cookie'] ?? [])),
      );
      const uid = await begin(person);
      const resume = await person.signUp(uid);
      const done = await person.agent.get(resume.pathname);
      expect(done.headers.location).toMatch(/^https:\/\/intranet\.example\/callback\?code=/);
      expect(new Set(lines.map((line) => line.split('=')[0])).size).toBeGreaterThanOrEqual(5);
      for (const line of lines) {
        expect(line).toMatch(prefix);
        expect(line.toLowerCase()).toContain('; httponly');
        expect(line.toLowerCase()).toContain('; samesite=lax');
        expect(line.toLowerCase()).not.toContain('domain=');
        expect([line, /; secure/i.test(line)]).toEqual([line, at === secure]);
        if (line.startsWith('__Host-')) expect(line).toMatch(/; path=\/(;|$)/);
      }
    }
  } finally {
    await secure.close();
  }
});
