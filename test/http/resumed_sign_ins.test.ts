/** Several sign-ins at once in one browser: which of them stands, whose step finishes what, and that a sign-out ends all. */
import { decodeJwt } from 'jose';
import type request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import {
  asApp,
  challengeOf,
  createPerson,
  interactionOf,
  isAlive,
  type Person,
  verifier,
} from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { begin, signOut, signUp } from '../support/visits.ts';

const { web, intranet } = apps;
const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
const tv = {
  client_id: 'tv',
  client_name: 'The television',
  token_endpoint_auth_method: 'none',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: [deviceGrant, 'refresh_token'],
};
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), tv] });
});
afterAll(() => server.close());

const codeVerifier = verifier();
const pkce = { code_challenge: challengeOf(codeVerifier), code_challenge_method: 'S256' };
const asked = {
  client_id: intranet.client_id,
  redirect_uri: intranet.redirect_uri,
  response_type: 'code',
  scope: 'openid',
  prompt: 'none',
};
const home = async ({ agent }: Person) => (await agent.get('/').accept('html')).text;
const active = async (token: string): Promise<boolean> => isAlive(server, token);
const locationOf = ({ headers }: request.Response) => new URL(String(headers.location), server.url);
const go = async ({ agent }: Person, { pathname, search }: URL) =>
  locationOf(await agent.get(pathname + search));

async function redeem(back: URL) {
  const app = web;
  const { status, body } = await asApp(server, app, {
    grant_type: 'authorization_code',
    code: back.searchParams.get('code') ?? '',
    redirect_uri: app.redirect_uri,
    code_verifier: codeVerifier,
  });
  expect([status, body.error]).toEqual([200, undefined]);
  return body as { access_token: string; refresh_token: string; id_token: string };
}

/** Somebody else at the same browser. */
function takesOver(browser: Person, who: Person): Person {
  const seated = createPerson(server, who.username, who.password);
  const { agent, step } = browser;
  return Object.assign(seated, {
    agent,
    step,
    totpSecret: who.totpSecret,
    authorize: browser.authorize,
    follow: browser.follow,
  });
}

/** Signs in with a password proved anew, whoever is signed in here; as far as the app. */
async function signInAnew(browser: Person, as = browser): Promise<URL> {
  const who = takesOver(browser, as);
  let at = await who.signIn(await begin(browser, intranet, { prompt: 'login' }));
  const page = await browser.agent.get(at.pathname);
  if (page.status === 200) {
    // Another person: the library's page signs the first out.
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
    const ended = await browser.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
    at = locationOf(ended);
    return browser.follow(at);
  }
  return locationOf(page);
}

test('Sessions: a consent that waited through a later sign-in leaves the browser signed in, and sign-out ends both branches', async () => {
  const ada = await signUp(server, 'ada');
  // The first tab signs in and is asked by a third party.
  const first = await begin(ada, web, { ...pkce, prompt: 'login' });
  const page = await go(ada, await ada.signIn(first));
  expect(interactionOf(page)).toBeDefined();
  server.clock.advance(5);
  await signInAnew(ada);
  expect(await home(ada)).toContain('ada');
  const allowed = await ada.step(String(interactionOf(page)), 'consent', { decision: 'allow' });
  const back = await go(ada, new URL(allowed.body.location));
  const tokens = await redeem(back);
  expect(await home(ada)).toContain('ada');
  expect((await ada.agent.get('/account')).status).toBe(200);
  // Both tabs' apps are in the one session.
  const later = await ada.tokensFor(intranet);
  await signOut(ada);
  expect(await home(ada)).not.toContain('ada');
  for (const token of [tokens.access_token, later.access_token]) expect(await active(token)).toBe(false);
  expect((await ada.authorize(intranet, { prompt: 'none' })).searchParams.get('error')).toBe(
    'login_required',
  );
});

test('Sessions: the same for an older login that is saved late: it takes no cookie and its app is signed out with the rest', async () => {
  const bea = await signUp(server, 'bea');
  await bea.tokensFor(intranet);
  // A sign-in that is complete, and whose redirect the browser follows only after another one.
  const waiting = await bea.signIn(await begin(bea, web, { ...pkce, prompt: 'login' }));
  server.clock.advance(5);
  await signInAnew(bea);
  const page = await go(bea, waiting);
  expect(await home(bea)).toContain('bea');
  const back = await bea.follow(page);
  const tokens = await redeem(back);
  expect(await home(bea)).toContain('bea');
  await signOut(bea);
  expect(await active(tokens.access_token)).toBe(false);
});

test('Sessions: a request that a later login overtakes sends no cookie of the session as it was', async () => {
  const cleo = await signUp(server, 'cleo');
  await cleo.tokensFor(intranet);
  let silent: Promise<request.Response> | undefined;
  // A later login of another tab is being stored while the request has read the session as it was.
  await server.database.transaction(async (query) => {
    await query(
      `update sessions set id_hash = 'elsewhere',
         payload = payload || jsonb_build_object('loginTs', (payload->>'loginTs')::bigint + 60)
       where account_id = (select id from accounts where username = 'cleo')`,
    );
    silent = cleo.agent.get('/auth').query(asked).redirects(0).then();
    await expect
      .poll(() => server.database.query("select 1 from pg_stat_activity where wait_event_type = 'Lock'"))
      .toHaveLength(1);
  });
  const answer = await silent;
  expect(String(answer?.headers.location)).toContain('code=');
  expect(String(answer?.headers['set-cookie'])).not.toContain('cypher_session=');
});

test('Sessions: two people in turn in one browser: no step of the first is finished by the second', async () => {
  const dan = await signUp(server, 'dan');
  const eve = await signUp(server, 'eve');
  await dan.tokensFor(intranet);
  const consentOfDan = await begin(dan, web, pkce);
  const loginOfDan = await begin(dan, intranet, { prompt: 'login' });
  expect((await dan.provePassword(loginOfDan)).status).toBe(200);
  const complete = await dan.signIn(await begin(dan, intranet, { prompt: 'login' }));
  server.clock.advance(5);
  const consents = () => server.database.query("select 1 from records where model = 'Grant'");
  await signInAnew(dan, eve);
  expect(await home(dan)).toContain('eve');
  const before = await consents();

  const answered = await dan.step(consentOfDan, 'consent', { decision: 'allow' });
  expect(answered.status).toBe(400);
  expect(await consents()).toEqual(before);
  // A sign-in of the first that was complete, and only now comes to its redirect, does not put the second out.
  const resumed = await dan.agent.get(complete.pathname).accept('html');
  expect(resumed.text).not.toContain('<form');
  expect(await home(dan)).toContain('eve');
  // What goes on goes on for who is signed in now, asked anew.
  const again = await go(dan, new URL(`${server.url}/auth/${consentOfDan}`));
  expect((await dan.agent.get(again.pathname)).text).toContain('eve');
  const tokens = await redeem(await dan.follow(again));
  const mine = await dan.tokensFor(intranet);
  expect(decodeJwt(tokens.id_token).sub).toBe(decodeJwt(mine.id_token).sub);
});

test('Sessions: a device that was confirmed before a later sign-in is connected for that person alone, and the browser stays signed in', async () => {
  const fay = await signUp(server, 'fay');
  const gus = await signUp(server, 'gus');
  await fay.tokensFor(intranet);
  const enter = async () => {
    const { body } = await asApp(server, tv, { scope: 'openid' }, '/device/auth');
    const page = await fay.agent.get('/device').accept('html');
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
    const form = { xsrf, user_code: body.user_code, confirm: 'yes' };
    const confirmed = await fay.agent.post('/device').accept('html').type('form').send(form);
    return { code: String(body.device_code), uid: String(interactionOf(locationOf(confirmed))) };
  };
  const poll = (code: string) => asApp(server, tv, { grant_type: deviceGrant, device_code: code });
  const one = await enter();
  const two = await enter();
  server.clock.advance(5);
  await signInAnew(fay);
  const allowed = await fay.step(one.uid, 'consent', { decision: 'allow' });
  const done = await fay.agent.get(new URL(allowed.body.location).pathname).accept('html');
  expect(done.text).toContain('is connected');
  expect(await home(fay)).toContain('fay');
  const tokens = (await poll(one.code)).body;
  await signInAnew(fay, gus);
  expect((await fay.step(two.uid, 'consent', { decision: 'allow' })).status).toBe(400);
  await fay.agent.get(`/device/${two.uid}`).accept('html');
  server.clock.advance(10);
  expect((await poll(two.code)).body).not.toHaveProperty('access_token');
  expect(await active(tokens.access_token)).toBe(false);
});
