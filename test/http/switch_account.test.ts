/** "Not you?" and "Use another account": the same request asks for somebody else. */
import type request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { challengeOf, createPerson, interactionOf, type Person, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { begin, signUp } from '../support/visits.ts';

const { web } = apps;
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
const locationOf = ({ headers }: request.Response) => new URL(String(headers.location), server.url);
const press = ({ agent }: Person, uid: string, headers = {}) =>
  agent
    .post(`/interaction/${uid}/switch-account`)
    .type('form')
    .set({ accept: 'text/html', ...headers })
    .send({});

/** Somebody with an account, at a browser in which nobody is signed in. */
async function atNewBrowser(name: string): Promise<Person> {
  const { password, totpSecret } = await signUp(server, name);
  return Object.assign(createPerson(server, name, password), { totpSecret });
}

/** Where the page after a form leads. */
function onwardOf(answer: request.Response): URL {
  expect(answer.status).toBe(200);
  return new URL(String(answer.headers.refresh).replace(/^0;url=/, ''), server.url);
}

test('at the code, the proved password is forgotten, and the sign-in form is shown', async () => {
  const ada = await atNewBrowser('ada');
  const uid = await begin(ada, web, pkce);
  await ada.provePassword(uid);
  const page = await ada.agent.get(`/interaction/${uid}`).accept('html');
  expect(page.text).toMatch(/Signing in as <strong><bdi>ada<\/bdi>/);
  expect(onwardOf(await press(ada, uid)).pathname).toBe(`/interaction/${uid}/login`);
  expect((await ada.agent.get(`/interaction/${uid}/login`).accept('html')).text).toContain(
    'current-password',
  );
  const late = await ada.step(uid, 'totp/verify', { code: ada.code() });
  expect([late.status, late.body.error]).toEqual([401, 'login_step_required']);
  // A second press, in a page that is still open, leads to the same form.
  expect(onwardOf(await press(ada, uid)).pathname).toBe(`/interaction/${uid}/login`);
});

test('at the consent, the same request asks for a sign-in, without the name of the first', async () => {
  const bea = await atNewBrowser('bea');
  const resume = async ({ pathname, search }: URL) => locationOf(await bea.agent.get(pathname + search));
  const login = await begin(bea, web, pkce);
  const consent = String(interactionOf(await resume(await bea.signIn(login))));
  const page = await bea.agent.get(`/interaction/${consent}`).accept('html');
  expect(page.text).toMatch(/You are signed in as <strong><bdi>bea<\/bdi>/);
  const again = String(interactionOf(await resume(onwardOf(await press(bea, consent)))));
  const form = await bea.agent.get(`/interaction/${again}`).accept('html');
  expect(form.text).toContain('current-password');
  expect(form.text).not.toContain('bea');
  // Whoever stays signs in again and goes on.
  const allowed = await resume(await bea.signIn(again));
  expect(interactionOf(allowed)).toBeTruthy();
  expect((await bea.follow(allowed)).searchParams.get('code')).toBeTruthy();
});

test('nobody else can press it: not another site, and not another browser', async () => {
  const cleo = await atNewBrowser('cleo');
  const uid = await begin(cleo, web, pkce);
  await cleo.provePassword(uid);
  expect((await press(cleo, uid, { origin: 'https://evil.example' })).status).toBe(403);
  expect((await press(createPerson(server, 'eve'), uid)).status).toBe(400);
  expect((await cleo.step(uid, 'totp/verify', { code: cleo.code() })).status).toBe(200);
});
