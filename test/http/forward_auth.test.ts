/** Forward-auth over HTTP, as a proxy asks: who is let in, who is sent where, and what cannot be forged. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { createPerson, interactionOf, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { begin } from '../support/visits.ts';

const WIKI = 'http://wiki.cypher.test';
const forwardAuth = {
  cookie_domain: 'cypher.test',
  sites: [
    { host: 'wiki.cypher.test' },
    { host: 'files.cypher.test:8443', accounts: ['ADA'] },
    { host: 'admin.cypher.test', accounts: ['somebody'] },
    { host: 'vault.cypher.test', max_age_seconds: 300, claims: { amr: 'otp' } },
    { host: 'other.cypher.test', claims: { email_verified: true } },
    { host: 'survey.cypher.test', scopes: [] },
  ],
};
const settings = { TRUSTED_PROXIES: '127.0.0.1,::1' };
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps), settings, forwardAuth });
  ada = await signedIn('ada');
});
afterAll(() => server.close());

/** Somebody with a session at the issuer. */
async function signedIn(name: string): Promise<Person> {
  const person = createPerson(server, name);
  await person.follow(await person.signUp(await begin(person), `${name}@example.com`));
  return person;
}

interface Asked {
  cookie?: string;
  uri?: string;
  method?: string;
  headers?: Record<string, string>;
  query?: string;
  at?: TestServer;
}
/** What a proxy asks about a request to this site. */
function ask(
  site: string,
  { cookie = '', uri = '/', method = 'GET', headers = {}, query = '', at = server }: Asked = {},
) {
  const { protocol, host } = new URL(site);
  return request(at.url)
    .get(`/forward-auth${query}`)
    .set({ accept: 'text/html', cookie, 'x-forwarded-method': method, 'x-forwarded-uri': uri })
    .set({ 'x-forwarded-proto': protocol.slice(0, -1), 'x-forwarded-host': host, ...headers });
}

const setCookies = (answer: request.Response): string[] => [answer.headers['set-cookie'] ?? []].flat();
const cookieOf = (answer: request.Response, name: string): string =>
  setCookies(answer)
    .find((line) => line.startsWith(`${name}=`))
    ?.split(';')[0] ?? '';

/** As far as the code: where the browser is sent at the site, and the cookie that it has there. */
async function passage(person: Person, site = WIKI, uri = '/page?a=1&b=2') {
  const refused = await ask(site, { uri });
  const start = new URL(String(refused.headers.location));
  const back = await person.follow(start);
  return { refused, start, back, cookie: cookieOf(refused, 'cypher_forward_auth_start') };
}
const complete = (site: string, { back, cookie }: { back: URL; cookie: string }) =>
  ask(site, { uri: back.pathname + back.search, cookie });

/** The whole way; the cookie of the parent domain. */
async function enter(person: Person, site = WIKI): Promise<string> {
  const answer = await complete(site, await passage(person, site));
  return cookieOf(answer, 'cypher_forward_auth');
}

test('from the site to the sign-in and back to the same address, with a cookie of the parent domain', async () => {
  const way = await passage(ada);
  expect(way.refused.status).toBe(302);
  expect(way.start.href).toMatch(`${server.url}/forward-auth/start?rd=`);
  expect(setCookies(way.refused)[0]).toMatch(
    /^cypher_forward_auth_start=.{24}; path=\/; .*samesite=lax; httponly$/i,
  );
  expect(`${way.back.origin}${way.back.pathname}`).toBe(`${WIKI}/forward-auth/complete`);
  const answer = await complete(WIKI, way);
  expect([answer.status, answer.headers.location]).toEqual([303, `${WIKI}/page?a=1&b=2`]);
  expect(setCookies(answer)[0]).toMatch(
    /^cypher_forward_auth=v4\.local\..*; domain=cypher\.test; samesite=lax; httponly$/i,
  );
  const let_in = await ask(WIKI, { cookie: cookieOf(answer, 'cypher_forward_auth') });
  expect(let_in.status).toBe(200);
  expect(let_in.headers).toMatchObject({
    'remote-user': 'ada',
    'remote-name': 'ada',
    'remote-email': '',
    'x-auth-subject': expect.stringMatching(/^[\w-]{24}$/),
    'x-auth-time': expect.stringMatching(/^\d{10}$/),
    'cache-control': 'no-store',
  });
  expect(let_in.text).toBe('');
});

test('a site learns of people what its scopes say, and always who is the same person', async () => {
  const { headers } = await ask('http://survey.cypher.test', { cookie: await enter(ada) });
  expect([headers['remote-user'], headers['remote-name'], headers['remote-email']]).toEqual(['', '', '']);
  expect(headers['x-auth-subject']).toMatch(/^[\w-]{24}$/);
});

test('one sign-in opens every site that its rule allows, and no other', async () => {
  const cookie = await enter(ada);
  const statusAt = async (site: string) => (await ask(site, { cookie })).status;
  expect.soft(await statusAt('http://files.cypher.test:8443')).toBe(200);
  expect.soft(await statusAt('http://admin.cypher.test')).toBe(403);
  expect.soft(await statusAt('http://other.cypher.test')).toBe(403);
  expect.soft(await statusAt('http://files.cypher.test')).toBe(403);
  expect.soft(await statusAt('https://wiki.cypher.test')).toBe(403);
  expect.soft(await statusAt('http://wiki.cypher.test.evil.example')).toBe(403);
  expect.soft((await ask('http://admin.cypher.test', { cookie })).text).toMatch(/signed in as .*ada/);
});

test('nginx is answered 401 with the address in a header; scripts and posts are not sent to a page', async () => {
  const nginx = await ask(WIKI, { query: '?redirect=off' });
  expect([nginx.status, nginx.headers.location]).toEqual([401, undefined]);
  expect(nginx.headers['x-auth-sign-in']).toMatch(
    `${server.url}/forward-auth/start?rd=http%3A%2F%2Fwiki.cypher.test%2F`,
  );
  const cases: Asked[] = [
    { method: 'POST' },
    { headers: { 'sec-fetch-mode': 'cors' } },
    { headers: { accept: 'application/json' } },
  ];
  for (const asked of cases) {
    const { status, headers } = await ask(WIKI, asked);
    expect.soft([status, headers.location, headers['set-cookie']]).toEqual([401, undefined, undefined]);
  }
});

test('a code serves once, of fifty at the same time one; at its own site, in its own browser, for a minute', async () => {
  const way = await passage(ada);
  const answers = await Promise.all(Array.from({ length: 50 }, () => complete(WIKI, way)));
  expect(answers.filter(({ status }) => status === 303)).toHaveLength(1);
  expect((await complete(WIKI, way)).status).toBe(400);
  expect((await complete('http://files.cypher.test:8443', await passage(ada))).status).toBe(400);
  const stolen = await passage(ada);
  expect((await complete(WIKI, { ...stolen, cookie: '' })).status).toBe(400);
  const other = await ask(WIKI);
  const planted = await passage(ada);
  const cookie = cookieOf(other, 'cypher_forward_auth_start');
  expect((await complete(WIKI, { ...planted, cookie })).status).toBe(400);
  const late = await passage(ada);
  server.clock.advance(61);
  expect((await complete(WIKI, late)).status).toBe(400);
});

test('no address leads anywhere but to a site that is named', async () => {
  const browser = 'a'.repeat(43);
  const strangers = [
    'https://evil.example/',
    'http://wiki.cypher.test@evil.example/',
    'http://evil.example\\@wiki.cypher.test/',
    'http://user:pass@wiki.cypher.test/',
    'https://wiki.cypher.test/',
    'http://wiki.cypher.test:81/',
    'http://wiki.cypher.test.evil.example/',
    '//evil.example/',
    'javascript:alert(1)',
    `http://wiki.cypher.test/${'x'.repeat(3000)}`,
    '',
  ];
  for (const rd of strangers) {
    const start = await ada.agent.get('/forward-auth/start').query({ rd, browser });
    const state = Buffer.from(JSON.stringify([rd, browser])).toString('base64url');
    const back = await ada.agent.get('/forward-auth/signed-in').query({ state });
    expect.soft([rd, start.status, back.status]).toEqual([rd, 400, 400]);
  }
  for (const uri of ['//evil.example/', '/\\evil.example', '/@evil.example']) {
    const { rd } = Object.fromEntries(
      new URL(String((await ask(WIKI, { uri })).headers.location)).searchParams,
    );
    expect.soft(new URL(String(rd)).origin).toBe(WIKI);
  }
  expect((await ask(WIKI, { uri: 'http://evil.example/' })).status).toBe(403);
  for (const state of ['', 'x', '[]', 'bnVsbA'])
    expect.soft((await ada.agent.get('/forward-auth/signed-in').query({ state })).status).toBe(400);
});

test('only a trusted proxy says which site was asked for, in full and once', async () => {
  const cookie = await enter(ada);
  const elsewhere = { TRUSTED_PROXIES: '10.0.0.1' };
  const outside = await startServer({
    clients: Object.values(apps),
    settings: elsewhere,
    forwardAuth,
    beside: server,
  });
  expect((await ask(WIKI, { cookie, at: outside })).status).toBe(403);
  await outside.close();
  const doubled = { 'x-forwarded-host': 'wiki.cypher.test, admin.cypher.test' };
  expect((await ask(WIKI, { cookie, headers: doubled })).status).toBe(403);
  expect((await request(server.url).get('/forward-auth').set({ cookie })).status).toBe(403);
});

test('identity headers that come in are not looked at, with a ticket or without one', async () => {
  const headers = { 'remote-user': 'root', 'x-auth-subject': 'root', 'remote-email': 'root@example.com' };
  expect((await ask(WIKI, { headers })).status).toBe(302);
  const answer = await ask(WIKI, { headers, cookie: await enter(ada) });
  expect([answer.headers['remote-user'], answer.headers['remote-email']]).toEqual(['ada', '']);
});

test('step-up: after its time the site asks for a new sign-in, and takes that', async () => {
  const bob = await signedIn('bob');
  const vault = 'http://vault.cypher.test';
  const cookie = await enter(bob, vault);
  expect((await ask(vault, { cookie })).status).toBe(200);
  // As if the sign-in were older: the library's clock is the machine's, which no test turns.
  await server.database.query(
    `update sessions set
       payload = jsonb_set(payload, '{loginTs}', to_jsonb($2::bigint)) where account_id =
       (select id from accounts where username_key = $1)`,
    ['bob', Math.floor(Date.now() / 1000) - 301],
  );
  expect((await ask(WIKI, { cookie })).status).toBe(200);
  const refused = await ask(vault, { cookie });
  expect(refused.status).toBe(302);
  const start = await bob.agent.get(String(refused.headers.location).slice(server.url.length));
  expect(start.headers.location).toMatch(/max_age=300/);
  const page = await bob.agent.get(String(start.headers.location));
  const uid = interactionOf(new URL(String(page.headers.location), server.url)) ?? '';
  const back = await bob.follow(await bob.signIn(uid));
  const done = await complete(vault, { back, cookie: cookieOf(refused, 'cypher_forward_auth_start') });
  expect((await ask(vault, { cookie: cookieOf(done, 'cypher_forward_auth') })).status).toBe(200);
});

test('a sign-out, a disabled account, a session ended everywhere: the next request is refused, on every instance', async () => {
  const other = await startServer({ clients: Object.values(apps), settings, forwardAuth, beside: server });
  const carol = await signedIn('carol');
  const cookie = await enter(carol);
  expect((await ask(WIKI, { cookie, at: other })).status).toBe(200);
  const page = await carol.agent.get('/session/end');
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1];
  await carol.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
  expect((await ask(WIKI, { cookie })).status).toBe(302);
  expect((await ask(WIKI, { cookie, at: other })).status).toBe(302);
  const dave = await signedIn('dave');
  const daves = await enter(dave);
  await server.database.query('update accounts set disabled_at = now() where username_key = $1', ['dave']);
  expect((await ask(WIKI, { cookie: daves, at: other })).status).toBe(302);
  await other.close();
});

test('neither the issuer’s session cookie nor another domain’s ticket passes for a ticket, nor a ticket for a session', async () => {
  const { cypher_session } = cookiesOf(ada, '/');
  expect((await ask(WIKI, { cookie: `cypher_forward_auth=${cypher_session}` })).status).toBe(302);
  const cookie = await enter(ada);
  const [, ticket = ''] = cookie.split('=');
  const asSession = await request(server.url)
    .get('/')
    .set({ cookie: cookieHeader({ cypher_session: ticket }) });
  expect(asSession.text).not.toContain('ada');
  const elsewhere = { cookie_domain: 'example.org', sites: [{ host: 'wiki.example.org' }] };
  const other = await startServer({
    clients: Object.values(apps),
    settings,
    forwardAuth: elsewhere,
    beside: server,
  });
  expect((await ask('http://wiki.example.org', { cookie, at: other })).status).toBe(302);
  await other.close();
  const forged = `${cookie.slice(0, -60)}${'A'.repeat(10)}${cookie.slice(-50)}`;
  expect((await ask(WIKI, { cookie: forged })).status).toBe(302);
  // A planted one beside the good one neither gets in nor keeps out.
  expect((await ask(WIKI, { cookie: `cypher_forward_auth=x; ${cookie}` })).headers['remote-user']).toBe(
    'ada',
  );
});

test('a visit to a site keeps the session alive, but not beyond its absolute life', async () => {
  const erin = await signedIn('erin');
  const cookie = await enter(erin);
  for (let half = 0; half < 4; half += 1) {
    server.clock.advance(1800);
    expect.soft((await ask(WIKI, { cookie })).status).toBe(200);
  }
  expect((await erin.agent.get('/')).text).toContain('erin');
  const unused = await enter(erin);
  server.clock.advance(3601);
  expect((await ask(WIKI, { cookie: unused })).status).toBe(302);
  const frank = await signedIn('frank');
  const franks = await enter(frank);
  for (let half = 0; half < 23; half += 1) {
    server.clock.advance(1800);
    await ask(WIKI, { cookie: franks });
  }
  expect((await ask(WIKI, { cookie: franks })).status).toBe(200);
  server.clock.advance(1800);
  expect((await ask(WIKI, { cookie: franks })).status).toBe(302);
});

test('a name that is not ASCII reaches the site as UTF-8', async () => {
  const person = await signedIn('jürgen');
  const answer = await ask(WIKI, { cookie: await enter(person) });
  expect(Buffer.from(String(answer.headers['remote-user']), 'latin1').toString()).toBe('jürgen');
});

test('off unless it is configured', async () => {
  const plain = await startServer({ clients: Object.values(apps), settings });
  expect((await ask(WIKI, { at: plain })).status).toBe(404);
  await plain.close();
});

test('errors look like the product at the site too, say what to do, and lead on', async () => {
  const refused = await signedIn('refused');
  const cookie = await enter(refused);
  const denied = await ask('http://admin.cypher.test', { cookie, uri: '/page' });
  expect([denied.status, denied.type]).toEqual([403, 'text/html']);
  expect(denied.text).toContain(`<link rel="stylesheet" href="${server.url}/assets/`);
  expect(denied.headers['content-security-policy']).toContain(`style-src ${server.url}`);
  expect(denied.text).toMatch(/signed in as <strong><bdi>refused<.*admin\.cypher\.test/s);
  for (const [, href] of denied.text.matchAll(/<a [^>]*href="([^"]*)"/g))
    expect(href).toMatch(`${server.url}/`);
  // A script is answered in plain text, and nginx finds in a header where to send the browser.
  const asScript = await ask('http://admin.cypher.test', { cookie, headers: { 'sec-fetch-mode': 'cors' } });
  expect([asScript.status, asScript.type]).toEqual([403, 'text/plain']);
  expect(asScript.headers['x-auth-sign-in']).toBeUndefined();
  const byNginx = await ask('http://admin.cypher.test', { cookie, query: '?redirect=off' });
  expect(byNginx.status).toBe(403);
  const why = new URL(String(byNginx.headers['x-auth-sign-in']));
  expect(`${why.origin}${why.pathname}`).toBe(`${server.url}/forward-auth/denied`);
  const page = await refused.agent.get(why.pathname + why.search);
  expect([page.status, page.text]).toEqual([403, expect.stringContaining('not open to you')]);

  // Another account: from either page to the sign-in, and to the site.
  for (const { text } of [denied, page]) {
    const [, href = ''] = /href="([^"]*)">Use another account/.exec(text) ?? [];
    const way = new URL(href.replaceAll('&amp;', '&'), server.url);
    const start = await refused.agent.get(way.pathname + way.search);
    expect(start.headers.location).toMatch(/^\/auth\?.*prompt=select_account/);
  }

  const used = await passage(refused);
  await complete(WIKI, used);
  const again = await complete(WIKI, used);
  expect([again.status, again.text]).toEqual([400, expect.stringContaining(`href="${WIKI}/"`)]);
  expect(again.text).toContain(`href="${server.url}/account"`);
  const unnamed = await ask('http://unnamed.cypher.test');
  expect([unnamed.status, unnamed.text]).toEqual([403, expect.stringContaining('FORWARD_AUTH_FILE')]);
  expect(unnamed.text).toContain(`<link rel="stylesheet" href="${server.url}/assets/`);
  // Where no proxy asks it is a page of ours.
  const direct = await request(server.url).get('/forward-auth').set({ accept: 'text/html' });
  expect([direct.status, direct.text]).toEqual([403, expect.stringContaining('TRUSTED_PROXIES')]);
  expect(direct.text).toContain('<link rel="stylesheet" href="/assets/');
});
