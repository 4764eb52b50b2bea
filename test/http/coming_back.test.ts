/** The Back button, a second tab and addresses out of a browser's history lead on with the live session. */
import type request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { challengeOf, createPerson, interactionOf, type Person, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { begin, signOut, signUp } from '../support/visits.ts';

const { web, intranet } = apps;
const located = { ...intranet, client_id: 'located', client_uri: 'https://located.example/' };
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: [...Object.values(apps), located] });
});
afterAll(() => server.close());

const pkce = { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' };
const open = ({ agent }: Person, uid: string, step = '') =>
  agent.get(`/interaction/${uid}${step}`).accept('html');
const locationOf = ({ headers }: request.Response) => new URL(String(headers.location), server.url);
const resume = async ({ agent }: Person, { pathname }: URL) => locationOf(await agent.get(pathname));

/** Somebody with an account, at a browser in which nobody is signed in. */
async function atNewBrowser(name: string): Promise<Person> {
  const { password, totpSecret } = await signUp(server, name);
  return Object.assign(createPerson(server, name, password), { totpSecret });
}

test('Back from the consent page leads to it again, and Back from the app to a page that says so', async () => {
  const ada = await atNewBrowser('ada');
  const login = await begin(ada, web, pkce);
  const consent = String(interactionOf(await resume(ada, await ada.signIn(login))));
  const back = await open(ada, login);
  expect([back.status, back.headers.location]).toEqual([303, `/interaction/${consent}`]);
  const { body } = await ada.step(consent, 'consent', { decision: 'allow' });
  expect((await resume(ada, new URL(body.location))).searchParams.get('code')).toBeTruthy();
  for (const uid of [consent, login]) {
    let page = await open(ada, uid);
    if (page.status === 303) page = await ada.agent.get(String(page.headers.location)).accept('html');
    expect([page.status, page.text.includes('You are signed in')]).toEqual([200, true]);
    expect(page.text).toContain('ada');
  }
  const start = await begin(ada, located, { prompt: 'login' });
  await resume(ada, await ada.signIn(start));
  const done = await open(ada, start);
  expect(done.text).toContain('href="https://located.example/"');
  // Nobody is signed in any more, and in another browser nobody was: there it has expired.
  await signOut(ada);
  expect((await open(ada, start)).status).toBe(400);
  expect((await open(createPerson(server, 'nobody'), start)).status).toBe(400);
});

test('a second tab goes on with the session of the first, without a password, and proves it anew where the app asks for that', async () => {
  const bob = await atNewBrowser('bob');
  const [first, second, anew] = [
    await begin(bob, intranet),
    await begin(bob, web, pkce),
    await begin(bob, intranet, { prompt: 'login' }),
  ];
  expect((await open(bob, second)).text).toContain('current-password');
  await resume(bob, await bob.signIn(first));
  const onward = await open(bob, second);
  expect([onward.status, onward.headers.location]).toEqual([303, `${server.url}/auth/${second}`]);
  const consent = await resume(bob, locationOf(onward));
  expect((await open(bob, String(interactionOf(consent)))).text).toContain('Allow');
  const again = await open(bob, anew);
  expect(again.status).toBe(303);
  const page = await resume(bob, locationOf(again));
  expect((await open(bob, String(interactionOf(page)))).text).toContain('current-password');
});

test('a consent page whose session is over leads to a sign-in for the same request', async () => {
  const cleo = await atNewBrowser('cleo');
  await cleo.tokensFor(intranet);
  const consent = await begin(cleo, web, pkce);
  await signOut(cleo);
  const onward = await open(cleo, consent);
  expect([onward.status, onward.headers.location]).toEqual([303, `${server.url}/auth/${consent}`]);
  const login = await resume(cleo, locationOf(onward));
  expect((await open(cleo, String(interactionOf(login)))).text).toContain('current-password');
  expect((await cleo.travel(login)).searchParams.get('code')).toBeTruthy();
});

test('the address of every step leads to the right page, and an answer that was lost goes on', async () => {
  const dan = await atNewBrowser('dan');
  const uid = await begin(dan, intranet);
  const steps = ['login/init', 'login/finish', 'register/init', 'register/finish'];
  steps.push('totp/setup', 'totp/verify-setup', 'totp/verify', 'consent');
  for (const step of steps) {
    const answer = await open(dan, uid, `/${step}`);
    expect([step, answer.status, answer.headers.location]).toEqual([step, 303, `/interaction/${uid}`]);
  }
  await dan.signIn(uid);
  const lost = await open(dan, uid);
  expect([lost.status, lost.headers.location]).toEqual([303, `${server.url}/auth/${uid}`]);
  expect((await resume(dan, locationOf(lost))).searchParams.get('code')).toBeTruthy();
  const confirmed = await dan.agent.get('/session/end/confirm').accept('html');
  expect([confirmed.status, confirmed.headers.location]).toEqual([303, '/session/end']);
});
