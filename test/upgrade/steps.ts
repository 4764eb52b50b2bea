/**
 * What people, apps and sites do in several steps, for runs in which every request goes to another instance than the one
 * before. Each journey throws where a step is not answered as it should be.
 */
import { generateSync } from 'otplib';
import request from 'supertest';
import { expect } from 'vitest';
import { changePassword, codesOn, openAccount, postForm, prove, secretOn } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import type { Ran } from '../support/cypher.ts';
import {
  type App,
  asApp,
  challengeOf,
  createPerson,
  interactionOf,
  isAlive,
  type Person,
  verifier,
} from '../support/person.ts';
import { begin, signOut } from '../support/visits.ts';

const { web, spa, intranet } = apps;
const site = 'http://wiki.cypher.test';
export const tv = {
  client_id: 'tv',
  client_name: 'The television',
  token_endpoint_auth_method: 'none',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
};
export const till = {
  client_id: 'till',
  client_name: 'The till',
  client_secret: 'a-secret-of-the-till-0123456789abcdef',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: ['urn:openid:params:grant-type:ciba', 'refresh_token'],
  backchannel_token_delivery_mode: 'poll',
};
export const forwardAuth = { cookie_domain: 'cypher.test', sites: [{ host: 'wiki.cypher.test' }] };

export interface Place {
  url: string;
  /** Makes a name that nobody has yet. */
  newName(): string;
  cypher(args: string[]): Promise<Ran>;
  /** Who has had an account since before this version came. */
  before: Person;
}

const stepMs = 30_000;

/** Somebody whose phone has this machine's time. Two codes can be used at once: that of the step before, and the present one. */
function somebody({ url }: Place, username: string, owner?: Person): Person {
  const person = createPerson(
    { url, clock: { now: Date.now, advance: () => {} } },
    username,
    owner?.password,
  );
  let used = Number.NEGATIVE_INFINITY;
  let secret = '';
  person.code = () => {
    const step = Math.floor(Date.now() / stepMs);
    if (secret !== person.totpSecret) used = step - 2;
    secret = person.totpSecret;
    used = Math.max(used + 1, step - 1);
    if (used > step) throw new Error('both codes of this moment are used');
    return generateSync({ secret, epoch: (used * stepMs) / 1000 });
  };
  if (owner) Object.assign(person, { totpSecret: owner.totpSecret, recoveryCodes: owner.recoveryCodes });
  return person;
}

/** Somebody with an account, whose browser waits at the app. */
async function withAccount(place: Place): Promise<Person> {
  const person = somebody(place, place.newName());
  await person.signUp(await begin(person));
  return person;
}

const refresh = (place: Place, app: App, token: string) =>
  asApp(place, app, { grant_type: 'refresh_token', refresh_token: token });

const statusOf = async (answer: PromiseLike<{ status: number }>) => (await answer).status;

async function signUpAndRefresh(place: Place): Promise<void> {
  const person = somebody(place, place.newName());
  const first = await person.tokensFor(web);
  expect(await isAlive(place, first.access_token)).toBe(true);
  const second = await refresh(place, web, first.refresh_token);
  expect(second.status).toBe(200);
  // Its answer was lost: the other instance gives a successor too, which is as good.
  const repeated = await refresh(place, web, first.refresh_token);
  expect(repeated.status).toBe(200);
  let token = repeated.body.refresh_token as string;
  for (let time = 0; time < 4; time++) {
    const { status, body } = await refresh(place, web, token);
    expect(status).toBe(200);
    expect(await isAlive(place, body.access_token)).toBe(true);
    token = body.refresh_token;
  }
  expect((await refresh(place, web, first.refresh_token)).body.error).toBe('invalid_grant');
  expect((await refresh(place, web, token)).body.error).toBe('invalid_grant');
}

async function signIn(place: Place): Promise<void> {
  const owner = await withAccount(place);
  const code = owner.code();
  const attempt = async () => {
    const elsewhere = somebody(place, owner.username, owner);
    const uid = await begin(elsewhere);
    expect(await statusOf(elsewhere.provePassword(uid))).toBe(200);
    return { elsewhere, answer: await elsewhere.step(uid, 'totp/verify', { code }) };
  };
  const { elsewhere, answer } = await attempt();
  expect(answer.status).toBe(200);
  const back = await elsewhere.follow(new URL(answer.body.location));
  expect(back.searchParams.get('code')).toBeTruthy();
  // A code is used once, at whichever instance.
  expect((await attempt()).answer.body.error).toBe('invalid_code');
}

/** Proves the owner's password in another browser. Returns how a code is entered there. */
async function elsewhereAfterPassword(place: Place, owner: Person) {
  const elsewhere = somebody(place, owner.username, owner);
  const uid = await begin(elsewhere);
  expect(await statusOf(elsewhere.provePassword(uid))).toBe(200);
  return (code: string | undefined) => elsewhere.step(uid, 'totp/verify', { code });
}

async function recoveryCode(place: Place): Promise<void> {
  const owner = await withAccount(place);
  const attempt = async () => (await elsewhereAfterPassword(place, owner))(owner.recoveryCodes[0]);
  expect(await statusOf(attempt())).toBe(200);
  expect((await attempt()).body.error).toBe('invalid_code');
}

/** One code at both releases at the same moment lets one in; another code does after it. */
async function recoveryCodeAtOnce(place: Place): Promise<void> {
  const owner = await withAccount(place);
  const waiting = () => elsewhereAfterPassword(place, owner);
  const [one, other] = [await waiting(), await waiting()];
  const [first, second] = owner.recoveryCodes;
  const answers = await Promise.all([one(first), other(first)]);
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect((await (await waiting())(first)).body.error).toBe('invalid_code');
  expect((await (await waiting())(second)).status).toBe(200);
}

/** Codes that were made before this version came: each is used once, at whichever instance, and the others stay good. */
async function recoveryCodesOfBefore(place: Place): Promise<void> {
  const owner = place.before;
  for (const code of owner.recoveryCodes.splice(0, 2)) {
    const attempt = async () => (await elsewhereAfterPassword(place, owner))(code);
    expect(await statusOf(attempt())).toBe(200);
    for (let time = 0; time < 2; time++) expect((await attempt()).body.error).toBe('invalid_code');
  }
}

/** Wrong passwords at both instances count together, and a right one at neither. */
async function guesses(place: Place): Promise<void> {
  const owner = await withAccount(place);
  const stranger = somebody(place, owner.username, owner);
  const uid = await begin(stranger);
  for (let time = 0; time < 8; time++) expect(await statusOf(stranger.provePassword(uid))).toBe(200);
  const guess = async () => (await stranger.loginInit(uid, { password: 'a wrong one' })).answer.status;
  const answers: number[] = [];
  for (let time = 0; time < 6; time++) answers.push(await guess());
  expect(answers).toEqual([200, 200, 200, 200, 200, 429]);
}

async function pushedRequest(place: Place): Promise<void> {
  const person = await withAccount(place);
  const code_verifier = verifier();
  const pkce = { code_challenge: challengeOf(code_verifier), code_challenge_method: 'S256' };
  const params = { response_type: 'code', scope: 'openid', redirect_uri: web.redirect_uri, ...pkce };
  const pushed = await asApp(place, web, { ...params, client_id: web.client_id }, '/request');
  expect(pushed.status).toBe(201);
  const { request_uri } = pushed.body;
  const go = () => person.agent.get('/auth').query({ client_id: web.client_id, request_uri });
  const start = new URL(String((await go()).headers.location), place.url);
  const code = (await person.travel(start)).searchParams.get('code') ?? '';
  const form = { grant_type: 'authorization_code', code, redirect_uri: web.redirect_uri, code_verifier };
  expect(await statusOf(asApp(place, web, form))).toBe(200);
  expect((await go()).headers.location ?? '').not.toContain('code=');
}

async function device(place: Place): Promise<void> {
  const asked = (await asApp(place, tv, { scope: 'openid profile' }, '/device/auth')).body;
  const person = somebody(place, place.newName());
  const { agent } = person;
  const page = await agent.get('/device').accept('html');
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1];
  const form = { xsrf, user_code: asked.user_code, confirm: 'yes' };
  const entered = await agent.post('/device').accept('html').type('form').send(form);
  const uid = interactionOf(new URL(String(entered.headers.location), place.url)) ?? '';
  let at = await person.signUp(uid);
  for (let hop = 0; hop < 5; hop++) {
    const consent = interactionOf(at);
    const answer = consent
      ? (await person.step(consent, 'consent', { decision: 'allow' })).body.location
      : (await agent.get(at.pathname).accept('html')).headers.location;
    if (!answer) break;
    at = new URL(answer, place.url);
  }
  const poll = { grant_type: String(tv.grant_types[0]), device_code: String(asked.device_code) };
  const { status, body } = await asApp(place, tv, poll);
  expect([status, body.error]).toEqual([200, undefined]);
  expect(await statusOf(refresh(place, tv, body.refresh_token))).toBe(200);
}

async function askedFromElsewhere(place: Place): Promise<void> {
  const person = somebody(place, place.newName());
  await openAccount(person);
  const form = { scope: 'openid profile', login_hint: person.username };
  const { auth_req_id } = (await asApp(place, till, form, '/backchannel')).body;
  const page = (await person.agent.get('/account/requests')).text;
  const id = /name="request" value="([^"]+)"/.exec(page)?.[1] ?? '';
  const answer = { request: id, decision: 'allow', code: person.code() };
  expect(await statusOf(postForm(person, 'requests', answer))).toBe(303);
  const poll = { grant_type: String(till.grant_types[0]), auth_req_id };
  expect(await statusOf(asApp(place, till, poll))).toBe(200);
}

async function newPassword(place: Place): Promise<void> {
  const person = somebody(place, place.newName());
  await openAccount(person);
  const old = person.password;
  expect(await statusOf(changePassword(person, 'another long and good password'))).toBe(200);
  expect(await statusOf(person.agent.get('/account'))).toBe(303);
  const uid = await begin(person);
  expect((await person.loginInit(uid, { password: old })).ke3).toBeUndefined();
  expect(await statusOf(person.provePassword(uid))).toBe(200);
}

async function newAuthenticator(place: Place): Promise<void> {
  const person = somebody(place, place.newName());
  await openAccount(person);
  expect(await statusOf(prove(person, 'authenticator'))).toBe(200);
  const secret = secretOn((await person.agent.get('/account/authenticator')).text);
  person.totpSecret = secret;
  const confirmed = await postForm(person, 'authenticator', { code: person.code() });
  expect(codesOn(confirmed.text)).toHaveLength(10);
  const again = await person.agent.get('/account/new-codes');
  expect(codesOn(again.text)).toEqual(codesOn(confirmed.text));
}

async function newRecoveryCodes(place: Place): Promise<void> {
  const person = somebody(place, place.newName());
  await openAccount(person);
  expect(await statusOf(prove(person, 'recovery-codes'))).toBe(200);
  const codes = codesOn((await postForm(person, 'recovery-codes')).text);
  expect(codes).toHaveLength(10);
  const elsewhere = somebody(place, person.username, person);
  const at = await begin(elsewhere);
  await elsewhere.provePassword(at);
  expect(await statusOf(elsewhere.step(at, 'totp/verify', { code: codes[3] }))).toBe(200);
}

async function signOutEverything(place: Place): Promise<void> {
  const person = somebody(place, place.newName());
  const { access_token } = await person.tokensFor(spa);
  expect(await isAlive(place, access_token)).toBe(true);
  await signOut(person);
  for (let time = 0; time < 2; time++) {
    expect(await statusOf(person.agent.get('/account'))).toBe(303);
    expect(await isAlive(place, access_token)).toBe(false);
  }
}

async function enterSite(place: Place): Promise<void> {
  const person = somebody(place, place.newName());
  await person.codeFor(intranet);
  const ask = (uri: string, cookie = '') =>
    request(place.url)
      .get('/forward-auth')
      .set({ accept: 'text/html', cookie, 'x-forwarded-method': 'GET', 'x-forwarded-uri': uri })
      .set({ 'x-forwarded-proto': 'http', 'x-forwarded-host': new URL(site).host });
  const cookieOf = ({ headers }: request.Response, name: string) =>
    [headers['set-cookie'] ?? []]
      .flat()
      .find((line) => line.startsWith(`${name}=`))
      ?.split(';')[0] ?? '';
  const refused = await ask('/page');
  const back = await person.travel(new URL(String(refused.headers.location)));
  const entered = await ask(back.pathname + back.search, cookieOf(refused, 'cypher_forward_auth_start'));
  expect([entered.status, entered.headers.location]).toEqual([303, `${site}/page`]);
  const ticket = cookieOf(entered, 'cypher_forward_auth');
  for (let time = 0; time < 2; time++) expect(await statusOf(ask('/page', ticket))).toBe(200);
}

/** Opens a link of a command and goes on from its page; returns the interaction's uid. */
async function openLink(place: Place, person: Person, stdout: string): Promise<string> {
  const link = new URL(stdout.trim().split('\n').at(-1) ?? '');
  const opened = await person.agent.get(link.pathname);
  const page = String(opened.headers.location);
  expect(await statusOf(person.agent.get(page))).toBe(200);
  const left = await person.agent.post(page);
  const begun = await person.agent.get(String(left.headers.location));
  return interactionOf(new URL(String(begun.headers.location), place.url)) ?? '';
}

async function invitation(place: Place): Promise<void> {
  const person = somebody(place, place.newName());
  const { stdout } = await place.cypher(['user', 'add', person.username]);
  await expect(person.signUp(await openLink(place, person, stdout))).resolves.toBeDefined();
}

async function lostAuthenticator(place: Place): Promise<void> {
  const owner = await withAccount(place);
  const { stdout } = await place.cypher(['user', 'reset-totp', owner.username]);
  const person = somebody(place, owner.username, owner);
  const uid = await openLink(place, person, stdout);
  expect(await statusOf(person.provePassword(uid))).toBe(200);
  expect(await statusOf(person.setUpTotp(uid))).toBe(200);
  expect(person.totpSecret).not.toBe(owner.totpSecret);
}

async function registration(place: Place): Promise<void> {
  const redirect_uris = ['https://app.example/callback'];
  const made = await request(place.url)
    .post('/reg')
    .send({ client_name: `App of ${place.newName()}`, redirect_uris, grant_types: ['authorization_code'] });
  expect(made.status).toBe(201);
  const { client_id, client_secret, registration_access_token: token } = made.body;
  const read = () => request(place.url).get(`/reg/${client_id}`).auth(token, { type: 'bearer' });
  for (let time = 0; time < 2; time++) expect(await statusOf(read())).toBe(200);
  const app = { client_id, client_secret, redirect_uri: String(redirect_uris[0]) };
  await expect(somebody(place, place.newName()).tokensFor(app)).resolves.toBeDefined();
}

/** By their names. */
export const journeys: Record<string, (place: Place) => Promise<void>> = {
  'sign-up, consent, code, refresh, repeated and reused refresh': signUpAndRefresh,
  'sign-in with both factors': signIn,
  'sign-in with a recovery code': recoveryCode,
  'one recovery code at both at once': recoveryCodeAtOnce,
  'recovery codes of before the upgrade': recoveryCodesOfBefore,
  'wrong passwords': guesses,
  'pushed request': pushedRequest,
  'device flow': device,
  'request from elsewhere (CIBA)': askedFromElsewhere,
  'new password': newPassword,
  'new authenticator': newAuthenticator,
  'new recovery codes': newRecoveryCodes,
  'sign-out': signOutEverything,
  'forward-auth': enterSite,
  invitation,
  'lost authenticator': lostAuthenticator,
  'registration of an app': registration,
};
