/** What an app demands of the person and of the sign-in holds when the answer is sent, and what cannot be met ends with an error. */
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAccount, postForm } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import {
  type App,
  asApp,
  challengeOf,
  createPerson,
  interactionOf,
  type Person,
  verifier,
} from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { begin, signUp } from '../support/visits.ts';

const { web, intranet } = apps;
const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
const ciba = 'urn:openid:params:grant-type:ciba';
const noRedirect = { redirect_uri: '', redirect_uris: [], response_types: [] };
const tv = {
  ...noRedirect,
  client_id: 'tv',
  client_name: 'The television',
  token_endpoint_auth_method: 'none',
  grant_types: [deviceGrant, 'refresh_token'],
};
const till = {
  ...noRedirect,
  client_id: 'till',
  client_secret: 'a-secret-of-the-till-0123456789abcdef-0123',
  grant_types: [ciba, 'refresh_token'],
  backchannel_token_delivery_mode: 'poll',
};
const pairwise = { ...intranet, client_id: 'pairwise', subject_type: 'pairwise' };
let server: TestServer;
let ada: Person;
let bob: Person;
beforeAll(async () => {
  const clients = [...Object.values(apps), tv, till, pairwise];
  server = await startServer({ clients, settings: { CIBA: 'on' } });
  ada = await signUp(server, 'ada');
  bob = await signUp(server, 'bob');
});
afterAll(() => server.close());

const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
const subOf = ({ id_token }: { id_token: string }) => decodeJwt(id_token).sub;

/** A browser in which nobody is signed in, of somebody who has an account. */
function browserOf(who: Person): Person {
  const browser = createPerson(server, who.username, who.password);
  return Object.assign(browser, { totpSecret: who.totpSecret });
}

/** Signs in once where that is asked for; returns where the browser is sent then, which may be another page. */
async function afterOneSignIn(person: Person, start: URL): Promise<URL> {
  const uid = interactionOf(start);
  expect(uid).toBeDefined();
  const page = await person.agent.get(`/interaction/${uid}`);
  expect(page.text).toContain('current-password');
  const resumed = await person.agent.get((await person.signIn(String(uid))).pathname);
  return new URL(String(resumed.headers.location), server.url);
}

const outcome = ({ searchParams, pathname }: URL) =>
  searchParams.get('error') ?? (searchParams.has('code') ? 'code' : pathname);

// First, for a request lives by the library's clock, which the turning of the test's leaves where it is.
test('CIBA: what no sign-in can meet is refused at once, and max_age asks for a newer sign-in before the approval', async () => {
  const person = browserOf(ada);
  await openAccount(person);
  const ask = (more: Record<string, string>) =>
    asApp(server, till, { scope: 'openid', login_hint: 'ada', ...more }, '/backchannel');
  const demand = (id_token: object) => ({ claims: JSON.stringify({ id_token }) });
  const silver = await ask(demand({ acr: { essential: true, value: 'urn:example:silver' } }));
  expect([silver.status, silver.body.error]).toEqual([400, 'unmet_authentication_requirements']);
  const another = await ask(demand({ sub: { value: 'somebody else' } }));
  expect([another.status, another.body.error]).toEqual([400, 'invalid_request']);

  const hourAgo = Math.floor(server.clock.now() / 1000) - 3600;
  await server.database.query(
    `update sessions set payload = payload || jsonb_build_object('loginTs', $1::int)
     where account_id = (select id from accounts where username = 'ada')`,
    [hourAgo],
  );
  const { body, status } = await ask({ max_age: '60' });
  expect([status, body.error_description]).toEqual([200, undefined]);
  const poll = async () =>
    (await asApp(server, till, { grant_type: ciba, auth_req_id: body.auth_req_id })).body;
  const answer = async () => {
    const page = await person.agent.get('/account/requests').accept('html');
    const request = /name="request" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
    return postForm(person, 'requests', { request, decision: 'allow', code: person.code() });
  };
  const tooOld = await answer();
  expect([tooOld.status, tooOld.text.includes('Sign in again')]).toEqual([401, true]);
  expect((await poll()).error).toBe('authorization_pending');
  await person
    .signIn(await begin(person, intranet, { prompt: 'login' }))
    .then(({ pathname }) => person.agent.get(pathname));
  expect((await answer()).status).toBe(303);
  server.clock.advance(10);
  expect(await poll()).toHaveProperty('id_token');
});

test.each([
  ['a public subject', intranet as App],
  ['a pairwise one', pairwise as App],
])('id_token_hint: tokens are of the person whom it names and of nobody else; %s', async (_, app) => {
  const hint = (await browserOf(ada).tokensFor(app)).id_token;
  const asked = { id_token_hint: hint };
  const [one, other] = [browserOf(bob), browserOf(bob)];
  expect(outcome(await afterOneSignIn(one, await one.authorize(app, asked)))).toBe('login_required');
  // Who is signed in already is asked once as well.
  await other.tokensFor(app);
  const start = await other.authorize(app, asked);
  expect((await other.authorize(app, { ...asked, prompt: 'none' })).searchParams.get('error')).toBe(
    'login_required',
  );
  expect(outcome(await afterOneSignIn(other, start))).toBe('login_required');
  expect(
    outcome(
      await browserOf(ada)
        .travel(await browserOf(ada).authorize(app, asked))
        .catch(() => start),
    ),
  ).toBeTruthy();
  const mine = browserOf(ada);
  expect(subOf(await mine.tokensFor(app, asked))).toBe(decodeJwt(hint).sub);
  expect(outcome(await mine.authorize(app, asked))).toBe('code');
});

test('id_token_hint: it still holds after a consent during which somebody else has signed in', async () => {
  const browser = browserOf(ada);
  const { id_token } = await browser.tokensFor(web);
  const consent = await begin(browser, web, { ...pkce, prompt: 'consent', id_token_hint: id_token });
  const seat = Object.assign(browserOf(bob), { agent: browser.agent, step: browser.step });
  const switching = await seat.signIn(await begin(browser, intranet, { prompt: 'login' }));
  const page = await browser.agent.get(switching.pathname);
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
  const ended = await browser.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
  await browser.follow(new URL(String(ended.headers.location)));
  const resumed = await browser.agent.get(`/auth/${consent}`);
  const again = new URL(String(resumed.headers.location), server.url);
  expect((await browser.agent.get(again.pathname)).text).toContain('current-password');
});

test('claims: a subject and an acr that the sign-in has not end with an error after one sign-in, also where the request was pushed', async () => {
  const sub = subOf(await browserOf(ada).tokensFor(intranet));
  const demand = (id_token: object) => JSON.stringify({ id_token });
  const unmet = 'unmet_authentication_requirements';
  const cases: [object, string][] = [
    [{ sub: { value: sub } }, 'login_required'],
    [{ sub: { values: ['nobody', sub] } }, 'login_required'],
    [{ acr: { essential: true, value: 'urn:example:silver' } }, unmet],
    [{ acr: { essential: true, values: ['urn:example:silver', 'urn:example:gold'] } }, unmet],
    [{ acr: { value: 'urn:example:silver' } }, 'code'],
    [{ acr: { essential: true, values: ['urn:example:silver', 'urn:cypher:acr:mfa'] } }, 'code'],
  ];
  for (const [index, [asked, expected]] of cases.entries()) {
    const claims = demand(asked);
    const browser = browserOf(bob);
    let start = await browser.authorize(intranet, { claims }).catch(() => undefined);
    if (index % 2 === 0) {
      const form = {
        claims,
        response_type: 'code',
        redirect_uri: intranet.redirect_uri,
        scope: 'openid',
        client_id: 'intranet',
      };
      const { body } = await asApp(server, intranet, form, '/request');
      expect(body).toHaveProperty('request_uri');
      start = await browser.authorize(intranet, { request_uri: body.request_uri });
    }
    if (!start) throw new Error('the request was refused');
    expect.soft([asked, outcome(await afterOneSignIn(browser, start))]).toEqual([asked, expected]);
  }
  const mine = browserOf(ada);
  const claims = demand({ sub: { value: sub } });
  expect(outcome(await afterOneSignIn(mine, await mine.authorize(intranet, { claims })))).toBe('code');
});

test('device flow: a hint of one person connects nobody else, and the device is told', async () => {
  const poll = (device_code: string) => asApp(server, tv, { grant_type: deviceGrant, device_code });
  /** Enters a device's code and confirms it; returns the page that follows. */
  async function enter({ agent }: Person, hint: Record<string, string> = {}) {
    const { body } = await asApp(server, tv, { scope: 'openid', ...hint }, '/device/auth');
    const xsrf =
      /name="xsrf" value="([^"]+)"/.exec((await agent.get('/device').accept('html')).text)?.[1] ?? '';
    const form = { xsrf, user_code: body.user_code, confirm: 'yes' };
    const confirmed = await agent.post('/device').accept('html').type('form').send(form);
    const at = new URL(String(confirmed.headers.location ?? '/connected'), server.url);
    if (at.pathname === '/connected') expect(confirmed.text).toContain('is connected');
    return { code: String(body.device_code), at };
  }
  async function connect(person: Person, consent: URL): Promise<void> {
    const allowed = await person.step(String(interactionOf(consent)), 'consent', { decision: 'allow' });
    const done = await person.agent.get(new URL(allowed.body.location).pathname).accept('html');
    expect(done.text).toContain('is connected');
  }
  const mine = browserOf(ada);
  const first = await enter(mine);
  await connect(mine, await afterOneSignIn(mine, first.at));
  const { id_token } = (await poll(first.code)).body;

  const stranger = browserOf(bob);
  await stranger.tokensFor(intranet);
  const theirs = await enter(stranger, { id_token_hint: id_token });
  const refused = await stranger.agent
    .get((await stranger.signIn(String(interactionOf(theirs.at)))).pathname)
    .accept('html');
  expect(refused.status).toBe(400);
  expect((await poll(theirs.code)).body.error).toBe('login_required');

  const again = await enter(mine, { id_token_hint: id_token });
  if (interactionOf(again.at)) await connect(mine, again.at);
  expect(subOf((await poll(again.code)).body)).toBe(decodeJwt(id_token).sub);
});
