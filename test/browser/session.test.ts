/** `cypher-idp/browser` in Chromium: tabs, a slow and lossy network, reloads, sign-outs, forged answers. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { cookiesOf } from '../support/cookies.ts';
import type { Demo } from '../support/demo.ts';
import { challengeOf, createPerson, verifier } from '../support/person.ts';
import { newVisitor, type Visitor } from '../support/visitor.ts';
import { outcomeOf, shows, startPageApp, stateOf, tapWire, tokenOf, type Wire } from './page_app.ts';

let browser: Browser;
let app: Demo;
let ada: Visitor;
let page: Page;
let wire: Wire;
let visitors = 0;
beforeAll(async () => {
  [browser, app] = await Promise.all([launchBrowser(), startPageApp()]);
});
afterAll(async () => {
  await browser?.close();
  await app?.close();
});
beforeEach(async () => {
  visitors += 1;
  ada = await newVisitor(browser, app, `ada${visitors}`);
  ({ page } = ada);
  await ada.context.clock.install();
  wire = await tapWire(ada.context, app.server.url);
});
afterEach(() => ada.context.close());

/** Somebody with a sign-on session at the provider, without having opened its pages, signs in here. */
async function enter(): Promise<void> {
  const person = createPerson(app.server, ada.username);
  const intranet = { client_id: 'demo-intranet', redirect_uri: `${app.intranet}/callback` };
  await person.codeFor(intranet, { code_challenge: challengeOf(verifier()), code_challenge_method: 'S256' });
  const cookies = Object.entries(cookiesOf(person, '/'));
  await ada.context.addCookies(cookies.map(([name, value]) => ({ name, value, url: app.server.url })));
  await begin();
  await shows(page, 'signed_in');
}

async function begin(): Promise<void> {
  await page.goto(`${app.app}/inbox?folder=2#top`);
  await shows(page, 'signed_out none');
  await page.evaluate(() => void session.signIn());
}

/** A tab that asks the others for the tokens. No time passes meanwhile: it asks them for half a second only. */
const anotherTab = async (): Promise<Page> => {
  const tab = await ada.context.newPage();
  await ada.context.clock.pauseAt((await page.evaluate(() => Date.now())) + 1000);
  await tab.goto(app.app);
  await shows(tab, 'signed_in');
  await ada.context.clock.resume();
  return tab;
};
/** Both tabs' tokens, as they have them. */
const tokensOf = (...tabs: Page[]) => Promise.all(tabs.map(tokenOf));
const changed = (tab: Page, old: string | undefined) => expect.poll(() => tokenOf(tab)).not.toBe(old);
const refreshes = () => wire.grants.filter((each) => each === 'refresh_token').length;
const me = async (token: string) =>
  (await fetch(`${app.server.url}/me`, { headers: { authorization: `Bearer ${token}` } })).status;

/** Makes the tokens expire soon for the app: the next refresh comes with `untilRefresh`. */
async function shorten(tab: Page): Promise<void> {
  wire.expiresIn = 300;
  await tab.reload();
  await shows(tab, 'signed_in');
}
/** Lets the tabs' time pass, in which they refresh tokens of five minutes. */
const untilRefresh = () => ada.context.clock.fastForward('04:45');

test('a redirect with PKCE signs in and leads back to where it began; nothing of the tokens is stored', async () => {
  await ada.createAccount();
  await begin();
  await ada.enterPassword();
  await ada.enterCode();
  await shows(page, 'signed_in');
  expect(page.url()).toBe(`${app.app}/inbox?folder=2#top`);
  const token = await tokenOf(page);
  expect(await me(token)).toBe(200);
  const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  expect(stored).not.toMatch(/v4\.|eyJ|verifier/);
  expect(ada.sent.filter((each) => each.includes('/auth?')).join()).toMatch(/code_challenge_method=S256/);
});

test('two tabs refresh once between them, on a slow network, and have the same tokens', async () => {
  await enter();
  await shorten(page);
  const before = wire.grants.length;
  const tab = await anotherTab();
  // The second tab asked the first one, not the provider.
  expect(wire.grants.length).toBe(before);
  const [first] = await tokensOf(page, tab);
  wire.delayMs = 1500;
  wire.expiresIn = 900;
  await untilRefresh();
  await changed(page, first);
  await changed(tab, first);
  const [one, other] = await tokensOf(page, tab);
  expect(one).toBe(other);
  expect(one).not.toBe(first);
  expect(refreshes()).toBe(1);
  expect(await me(String(one))).toBe(200);
});

test('a lost answer is asked for again and signs nobody out', async () => {
  await enter();
  await shorten(page);
  wire.lose = 2;
  const first = await tokenOf(page);
  await untilRefresh();
  await changed(page, first);
  expect(refreshes()).toBe(3);
  const second = await tokenOf(page);
  expect(await me(second)).toBe(200);
  // The family lives: the next refresh is good too.
  await untilRefresh();
  await changed(page, second);
  expect((await stateOf(page)).status).toBe('signed_in');
});

test('a reload keeps somebody signed in without showing a page', async () => {
  await enter();
  ada.sent.length = 0;
  await page.reload();
  await shows(page, 'signed_in');
  expect(page.url()).toBe(`${app.app}/inbox?folder=2#top`);
  expect(ada.sent.some((each) => each.includes('prompt=none'))).toBe(true);
  expect(ada.sent.filter((each) => each.includes('/interaction/'))).toEqual([]);
  expect(await me(await tokenOf(page))).toBe(200);
});

test('a sign-out reaches the other tab, and neither comes back by a reload', async () => {
  await enter();
  const tab = await anotherTab();
  const token = await tokenOf(page);
  await page.evaluate(() => void session.signOut());
  await shows(tab, 'signed_out signed_out');
  // The page's ID token says whose session it is: nobody is asked.
  await page.waitForURL(`${app.app}/`);
  await shows(page, 'signed_out none');
  await tab.reload();
  await shows(tab, 'signed_out none');
  expect(await me(token)).toBe(401);
  expect(await tab.evaluate(() => session.accessToken().catch(({ code }) => code))).toBe('signed_out');
});

test('a session that the provider has ended is noticed at the next refresh, in all tabs', async () => {
  await enter();
  await shorten(page);
  const tab = await anotherTab();
  const elsewhere = await ada.context.newPage();
  await elsewhere.goto(`${app.server.url}/session/end`);
  await elsewhere.getByRole('button', { name: 'Sign out', exact: true }).click();
  await elsewhere.getByText('signed out').first().waitFor();
  await untilRefresh();
  await Promise.all([shows(page, 'signed_out ended'), shows(tab, 'signed_out ended')]);
  // The reload tries without a page, and the provider says no.
  await page.reload();
  await shows(page, 'signed_out none');
});

test('a tab that has slept sends no used-up token: it renews without a page', async () => {
  await enter();
  await shorten(page);
  const tab = await ada.context.newPage();
  await tab.addInitScript(() => {
    // Hears nothing from the moment it sleeps.
    const { set } = Object.getOwnPropertyDescriptor(BroadcastChannel.prototype, 'onmessage') ?? {};
    Object.defineProperty(BroadcastChannel.prototype, 'onmessage', {
      set(listener: (event: MessageEvent) => void) {
        set?.call(this, (event: MessageEvent) => !globalThis.asleep && listener(event));
      },
    });
  });
  await tab.goto(app.app);
  await shows(tab, 'signed_in');
  const last = await tokenOf(tab);
  await tab.evaluate(() => {
    globalThis.asleep = true;
  });
  // The page has tokens that the tab knows nothing of, and asks for no others.
  await page.evaluate(() => void session.renew());
  await changed(page, last);
  await page.close();
  const before = refreshes();
  await untilRefresh();
  await shows(tab, 'signed_out lost');
  expect(refreshes()).toBe(before);
  await tab.evaluate(() => void session.renew());
  await shows(tab, 'signed_in');
  expect(await me(await tokenOf(tab))).toBe(200);
});

test('an answer that belongs to no sign-in of this tab is refused before anything is sent', async () => {
  await enter();
  const before = wire.grants.length;
  const iss = encodeURIComponent(app.server.url);
  await page.goto(`${app.app}/callback?code=stolen&state=forged&iss=${iss}`);
  expect(await outcomeOf(page)).toBe('state_mismatch');
  expect(page.url()).toBe(`${app.app}/callback`);
  expect(wire.grants.length).toBe(before);
});

test('an answer in the name of another provider is refused, and an answer serves once', async () => {
  await enter();
  const answers: string[] = [];
  await ada.context.route(`${app.server.url}/auth?*`, async (route) => {
    const response = await route.fetch({ maxRedirects: 0 });
    const location = new URL(String(response.headers().location));
    answers.push(location.href);
    location.searchParams.set('iss', 'https://evil.example');
    await route.fulfill({ response, headers: { ...response.headers(), location: location.href } });
  });
  const before = wire.grants.length;
  await page.reload();
  await shows(page, 'signed_out none');
  expect(await outcomeOf(page)).toBe('issuer_mismatch');
  expect(wire.grants.length).toBe(before);
  await page.goto(String(answers[0]));
  expect(await outcomeOf(page)).toBe('state_mismatch');
  expect(wire.grants.length).toBe(before);
});
