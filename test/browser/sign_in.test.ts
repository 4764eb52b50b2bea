/** The main job in a real browser: Chromium, the real server, and a relying party on openid-client. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { createVisits } from '../support/browser_visits.ts';
import { type Demo, startDemo } from '../support/demo.ts';

let demo: Demo;
let browser: Browser;
beforeAll(async () => {
  [demo, browser] = await Promise.all([startDemo(), launchBrowser()]);
});
afterAll(async () => {
  await browser.close();
  await demo.close();
});

const { visit, visitWithAccount } = createVisits(() => ({ browser, demo }));

test('the password never leaves the browser, neither at sign-up nor at sign-in', async () => {
  const { page, ...grace } = await visit('grace');
  await grace.begin();
  await grace.signUp();
  await grace.press('Allow');
  await grace.arrive();
  await grace.context.clearCookies();
  await grace.begin();
  await grace.signIn();
  const everything = grace.sent.join('\n');
  for (const form of [
    grace.password,
    encodeURIComponent(grace.password),
    grace.password.replaceAll(' ', '+'),
    Buffer.from(grace.password).toString('base64url').slice(0, -2),
    Buffer.from(grace.password).toString('hex'),
  ]) {
    expect(everything).not.toContain(form);
  }
  // What was looked through is the whole of it.
  for (const expected of ['"username":"grace"', '"ke1":', '"ke3":', '"record":']) {
    expect(everything).toContain(expected);
  }
  expect(demo.server.logged()).not.toContain(grace.password);
});

test('a person signs up, allows the app, and uses it until they sign out', async () => {
  const { page, ...ada } = await visit('ada');
  await ada.begin();
  await ada.signUp();
  await ada.heading('Allow this app');
  expect(await page.getByText('Notebook').first().isVisible()).toBe(true);
  expect(await page.getByText(`returns to ${new URL(demo.app).host}`).isVisible()).toBe(true);
  await ada.press('Allow');
  await ada.arrive();
  const claims = page.getByRole('table');
  expect(await claims.textContent()).toContain('["pwd","otp","mfa"]');
  expect(await claims.textContent()).toContain(demo.server.url);

  await ada.press('Call the API');
  await page.getByRole('heading', { name: `${demo.api}/reports answered` }).waitFor();
  expect(await page.getByText('by introspection').isVisible()).toBe(true);
  expect(await page.getByText('offline', { exact: true }).isVisible()).toBe(true);
  expect(await page.getByText('Buy milk').isVisible()).toBe(true);

  await ada.press('Refresh');
  await page.getByText(/New tokens came at/).waitFor();
  await ada.press('Call the API');
  await page.getByText('Buy milk').waitFor();

  await ada.signOut();
  await page.goto(demo.server.url);
  await ada.heading('One sign-in for your apps');
});

test('they sign out and in again, with the password and a code', async () => {
  const ben = await visitWithAccount('ben');
  for (let times = 0; times < 2; times += 1) {
    await ben.begin();
    await ben.signIn();
    await ben.signOut();
  }
});

test('a wrong password is told beside the field, as an unknown name is, and nothing typed is lost', async () => {
  const { page, ...cleo } = await visitWithAccount('cleo');
  await cleo.begin();
  const password = page.getByLabel('Password', { exact: true });
  const messages: (string | null)[] = [];
  for (const { username, password: typed } of [
    { username: 'cleo', password: 'not the right password' },
    { username: 'nobody', password: 'correct horse battery staple' },
  ]) {
    await cleo.enterPassword({ username, password: typed });
    await page.locator('#password-error:not(:empty)').waitFor();
    messages.push(await page.locator('#password-error').textContent());
    expect(await password.getAttribute('aria-describedby')).toContain('password-error');
    expect(await password.getAttribute('aria-invalid')).toBe('true');
    expect(await page.getByLabel('Username').inputValue()).toBe(username);
    expect(await password.inputValue()).toBe(typed);
    expect(await page.getByRole('button', { name: 'Sign in' }).isEnabled()).toBe(true);
  }
  expect(messages).toEqual(['Username or password is wrong.', 'Username or password is wrong.']);
  await cleo.signIn();
});

test('a wrong code is told beside the field; the right one still works', async () => {
  const { page, ...dan } = await visitWithAccount('dan');
  await dan.begin();
  await dan.enterPassword();
  await dan.enterCode('000000');
  await page.getByRole('alert').filter({ hasText: 'This code is wrong or was used before.' }).waitFor();
  expect(await page.getByLabel('Code').getAttribute('aria-invalid')).toBe('true');
  await dan.enterCode();
  await dan.press('Allow');
  await dan.arrive();
});

test('a recovery code takes the place of the phone, once', async () => {
  const { page, ...eva } = await visitWithAccount('eva');
  expect(eva.recoveryCodes).toHaveLength(10);
  const [code = ''] = eva.recoveryCodes;
  const useCode = async () => {
    await eva.begin();
    await eva.enterPassword();
    await page.getByRole('link', { name: 'Use a recovery code' }).click();
    await page.getByLabel('Recovery code').fill(code);
    await eva.press('Verify');
  };
  await useCode();
  await eva.press('Allow');
  await eva.arrive();
  // It says what happened: no code of the authenticator.
  expect(await page.getByRole('table').textContent()).toContain('["pwd","mfa"]');
  await eva.signOut();
  await useCode();
  await page.getByRole('alert').filter({ hasText: 'This code is wrong or was used before.' }).waitFor();
  expect(await page.getByLabel('Recovery code').isVisible()).toBe(true);
});

test('who denies goes back to the app, which has nothing of them', async () => {
  const { page, ...finn } = await visitWithAccount('finn');
  await finn.begin();
  await finn.enterPassword();
  await finn.enterCode();
  await finn.press('Deny');
  await page.getByText('You are not signed in here.').waitFor();
  expect(new URL(page.url()).origin).toBe(demo.app);
  expect(await page.getByRole('alert').textContent()).toContain('access_denied');
});

test('an app of the house lets them in without a password or a question', async () => {
  const { page, ...gil } = await visitWithAccount('gil');
  await gil.begin();
  await gil.signIn();
  await gil.begin(demo.intranet);
  await gil.arrive(demo.intranet);
  await gil.press('Call the API');
  await page.getByText('gil@example.com').waitFor();
  // Signing out of one of them signs out of both: the other is told.
  await gil.signOut();
  await expect
    .poll(async () => {
      await page.goto(demo.app);
      return page.getByText('You are not signed in here.').isVisible();
    })
    .toBe(true);
  await gil.press('Sign in');
  await gil.heading('Sign in');
});

test('the keyboard is enough', async () => {
  const { page, ...hal } = await visitWithAccount('hal');
  const { keyboard } = page;
  const focused = () => page.locator(':focus');
  const tabTo = async (name: string) => {
    for (let presses = 0; presses < 12; presses += 1) {
      await keyboard.press('Tab');
      if ((await focused().textContent())?.trim() === name) return;
    }
    throw new Error(`Tab does not reach ${name}`);
  };
  await page.goto(demo.app);
  await tabTo('Sign in');
  await keyboard.press('Enter');
  await hal.heading('Sign in');
  await keyboard.type('hal');
  await keyboard.press('Tab');
  await keyboard.type(hal.password);
  await keyboard.press('Enter');
  await hal.heading('Enter your code');
  await keyboard.type(hal.code());
  await hal.heading('Allow this app');
  await tabTo('Allow');
  expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
  await keyboard.press('Enter');
  await hal.arrive();
});

test('the back button after a sign-in does no harm', async () => {
  const { page, ...ida } = await visitWithAccount('ida');
  await ida.begin();
  await ida.signIn();
  for (let steps = 0; steps < 3; steps += 1) {
    await page.goBack();
    expect(await page.locator('body').textContent()).not.toMatch(/stack|TypeError|undefined/);
    expect(await page.getByRole('heading', { level: 1 }).isVisible()).toBe(true);
  }
  await page.goto(demo.app);
  await ida.arrive();
  await ida.press('Call the API');
  await page.getByText('Buy milk').waitFor();
});

test('a second press while the first is under way sends nothing twice', async () => {
  const { page, ...jan } = await visitWithAccount('jan');
  await jan.begin();
  const sent: string[] = [];
  page.on('request', (request) => {
    if (request.method() === 'POST') sent.push(new URL(request.url()).pathname.split('/').slice(3).join('/'));
  });
  await page.getByLabel('Username').fill('jan');
  await page.getByLabel('Password', { exact: true }).fill(jan.password);
  await page.getByRole('button', { name: 'Sign in' }).dblclick();
  await jan.heading('Enter your code');
  expect(sent).toEqual(['login/init', 'login/finish']);
});
