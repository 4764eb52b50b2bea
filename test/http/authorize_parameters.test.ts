/** What a request may ask of a login: prompts, its age, its class, claims, hints, languages. */
import { decodeJwt } from 'jose';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { asApp, challengeOf, createPerson, interactionOf, type Person, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { web, intranet } = apps;
const mfa = 'urn:cypher:acr:mfa';
let server: TestServer;
let ada: Person;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
  ada = createPerson(server, 'ada');
  const uid = interactionOf(await ada.authorize(intranet)) ?? '';
  await ada.follow(await ada.signUp(uid, 'ada@example.org'));
});
afterAll(() => server.close());

const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
const asking = (claims: object) => ({ claims: JSON.stringify(claims) });
const me = async (token: string) =>
  (await request(server.url).get('/me').auth(token, { type: 'bearer' })).body;

test('prompt=create opens the sign-up page, from which one can sign in as well', async () => {
  const neo = createPerson(server, 'neo');
  const start = await neo.authorize(intranet, { prompt: 'create' });
  const page = await neo.agent.get(start.pathname);
  expect(page.text).toContain('new-password');
  const back = await neo.follow(await neo.signUp(interactionOf(start) ?? ''));
  expect(back.searchParams.get('code')).toBeTruthy();
  const other = createPerson(server, 'ada');
  other.totpSecret = ada.totpSecret;
  const again = await other.authorize(intranet, { prompt: 'create' });
  expect((await other.agent.get(`${again.pathname}/login`)).text).toContain('current-password');
  const signedIn = await other.follow(await other.signIn(interactionOf(again) ?? ''));
  expect(signedIn.searchParams.get('code')).toBeTruthy();
});

test('prompt=select_account and prompt=login ask for the password although somebody is signed in', async () => {
  for (const prompt of ['select_account', 'login']) {
    const start = await ada.authorize(intranet, { prompt });
    expect((await ada.agent.get(start.pathname)).text).toContain('current-password');
    const back = await ada.follow(await ada.signIn(interactionOf(start) ?? ''));
    expect(back.searchParams.get('code')).toBeTruthy();
  }
});

test('prompt: none beside others, and what nobody knows, are invalid_request; discovery says what there is', async () => {
  for (const prompt of ['none login', 'unknown', 'login unknown']) {
    const back = await ada.authorize(intranet, { prompt });
    expect.soft([prompt, back.searchParams.get('error')]).toEqual([prompt, 'invalid_request']);
  }
  const { body } = await request(server.url).get('/.well-known/openid-configuration');
  expect(body.prompt_values_supported).toEqual(['none', 'login', 'consent', 'select_account', 'create']);
  expect(body).toMatchObject({
    claims_parameter_supported: true,
    request_parameter_supported: true,
    authorization_response_iss_parameter_supported: true,
    acr_values_supported: [mfa],
    subject_types_supported: ['public', 'pairwise'],
    ui_locales_supported: ['en'],
  });
  expect(body.request_object_signing_alg_values_supported).not.toContain('none');
});

test('acr_values and max_age: the ID token tells what happened, never what was wished for', async () => {
  const wished = await ada.tokensFor(web, { acr_values: `urn:example:retina ${mfa}` });
  expect(decodeJwt(wished.id_token)).toMatchObject({ acr: mfa, amr: ['pwd', 'otp', 'mfa'] });
  const unknown = await ada.tokensFor(web, { acr_values: 'urn:example:retina' });
  expect(decodeJwt(unknown.id_token).acr).toBe(mfa);
  const before = Number(decodeJwt(unknown.id_token).auth_time);
  const recent = await ada.authorize(web, { ...pkce, prompt: 'none', max_age: '6000' });
  expect(recent.searchParams.get('code')).toBeTruthy();
  const renewed = await ada.tokensFor(web, { max_age: '0' });
  expect(Number(decodeJwt(renewed.id_token).auth_time)).toBeGreaterThan(before);
});

test('claims: an essential acr that cannot be had is refused, one that was had is told', async () => {
  const silent = { ...pkce, prompt: 'none' };
  const acr = (wanted: object) => ({
    ...silent,
    ...asking({ id_token: { acr: { essential: true, ...wanted } } }),
  });
  const got = await ada.authorize(web, acr({ values: ['urn:example:retina', mfa] }));
  expect(got.searchParams.get('code')).toBeTruthy();
  for (const wanted of [{ values: ['urn:example:retina'] }, { value: 'urn:example:retina' }]) {
    const refused = await ada.authorize(web, acr(wanted));
    expect(refused.searchParams.get('error')).toBe('login_required');
  }
});

test('claims: what is asked for by name is asked of the person, and told where it was asked for', async () => {
  const params = asking({ userinfo: { email: { essential: true } }, id_token: { preferred_username: null } });
  const start = await ada.authorize(web, { ...pkce, ...params });
  const page = await ada.agent.get(start.pathname);
  expect(page.text).toContain('See your e-mail address');
  expect(page.text).toContain('See your username');
  const tokens = await ada.tokensFor(web, params);
  expect(decodeJwt(tokens.id_token)).toMatchObject({ preferred_username: 'ada' });
  expect(decodeJwt(tokens.id_token)).not.toHaveProperty('email');
  expect(await me(tokens.access_token)).toEqual({ sub: expect.any(String), email: 'ada@example.org' });
  const refresh = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
  const fresh = (await asApp(server, web, refresh)).body;
  expect(await me(fresh.access_token)).toHaveProperty('email');
  expect(await me((await ada.tokensFor(web)).access_token)).not.toHaveProperty('email');
});

test('claims: what is no request for claims, or a huge one, is refused', async () => {
  for (const claims of [
    '[',
    '[]',
    '{"id_token":[]}',
    '{"userinfo":{"email":true}}',
    JSON.stringify({ userinfo: { ['x'.repeat(1000)]: null } }),
    JSON.stringify({ userinfo: { __proto__: null, constructor: 'x' } }),
  ]) {
    const back = await ada.authorize(web, { ...pkce, claims });
    expect.soft([claims, back.searchParams.get('error')]).toEqual([claims, 'invalid_request']);
  }
});

test('the name is filled in: who is signed in and asked anew, or whom login_hint names, be there such an account or not', async () => {
  const filledIn = async (person: Person, query: Record<string, string>) => {
    const start = await person.authorize(web, { ...pkce, ...query });
    const { text } = await person.agent.get(start.pathname);
    expect(text).toContain('<html lang="en">');
    return /id="username" type="text" value="([^"]*)"/.exec(text)?.[1];
  };
  expect(await filledIn(ada, { prompt: 'login' })).toBe('ada');
  expect(await filledIn(ada, { prompt: 'login', login_hint: 'bob' })).toBe('bob');
  // Where another account may be chosen, none is chosen for them.
  expect(await filledIn(ada, { prompt: 'select_account' })).toBe('');
  const stranger = () => createPerson(server, 'x');
  expect(await filledIn(stranger(), { ui_locales: 'fr-CA de' })).toBe('');
  expect(await filledIn(stranger(), { login_hint: 'ada' })).toBe('ada');
  expect(await filledIn(stranger(), { login_hint: 'nobody.here+1@example.org' })).toBe(
    'nobody.here+1@example.org',
  );
  // An app's sentence is no name.
  for (const login_hint of ['Call 555 0100 to sign in', 'ad"a<', 'a'.repeat(65)])
    expect.soft(await filledIn(stranger(), { login_hint })).toBe('');
});

test('id_token_hint: of the person who is signed in goes on, of another one asks, a forged one is refused', async () => {
  const mine = (await ada.tokensFor(web)).id_token;
  const theirs = (await createPerson(server, 'bob').tokensFor(web)).id_token;
  const silent = { ...pkce, prompt: 'none' };
  expect(
    (await ada.authorize(web, { ...silent, id_token_hint: mine })).searchParams.get('code'),
  ).toBeTruthy();
  const other = await ada.authorize(web, { ...silent, id_token_hint: theirs });
  expect(other.searchParams.get('error')).toBe('login_required');
  const forged = await ada.authorize(web, { ...silent, id_token_hint: `${mine.slice(0, -4)}AAAA` });
  expect(forged.searchParams.get('error')).toBe('invalid_request');
});
