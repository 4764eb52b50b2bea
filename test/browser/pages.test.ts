/** Every page of a sign-up and a sign-in, looked at (support/look.ts). */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { type Demo, startDemo } from '../support/demo.ts';
import { createLook } from '../support/look.ts';
import { newVisitor } from '../support/visitor.ts';

let demo: Demo;
let browser: Browser;
beforeAll(async () => {
  [demo, browser] = await Promise.all([startDemo(), launchBrowser()]);
});
afterAll(async () => {
  await browser.close();
  await demo.close();
});

const look = createLook();

test('nothing serious bars the way on any page, in either scheme, on a phone or a desk', async () => {
  const visitor = await newVisitor(browser, demo, 'ada');
  const { page } = visitor;
  const see = (name: string) => look(visitor, name);

  await page.goto(demo.server.url);
  await see('home');
  await page.goto(demo.app);
  await see('app');

  await visitor.press('Sign in');
  await visitor.heading('Sign in');
  await see('login');
  await visitor.enterPassword({ username: 'ada', password: 'not the right password' });
  await page.locator('#password-error:not(:empty)').waitFor();
  await see('login-wrong');

  await page.getByRole('link', { name: 'Create account' }).click();
  await visitor.heading('Create your account');
  await see('register');
  await page.getByLabel('Username').fill('ada');
  await page.getByLabel('Password', { exact: true }).fill('too short');
  await visitor.press('Create account');
  await page.locator('#password-error:not(:empty)').waitFor();
  await see('register-wrong');
  await page.getByLabel('Password', { exact: true }).fill(visitor.password);
  await page.getByRole('meter', { name: 'Strength' }).waitFor();
  await page.getByText('Strong.').waitFor();
  await see('register-strong');
  await visitor.press('Create account');

  await visitor.heading('Set up your authenticator');
  await visitor.readTotpSecret();
  await see('totp-setup');
  await page.getByLabel('Code').fill('000000');
  await visitor.press('Confirm');
  await page.locator('#code-error:not(:empty)').waitFor();
  expect(await page.getByTestId('totp-secret').textContent()).toBe(visitor.totpSecret);
  await see('totp-setup-wrong');
  await visitor.confirmTotp();
  await see('recovery-codes');
  await visitor.goOn();

  await visitor.heading('Allow this app');
  await see('consent');
  await visitor.press('Allow');
  await visitor.arrive();
  await visitor.press('Call the API');
  await page.getByText('Buy milk').waitFor();
  await see('app-signed-in');
  await page.goto(demo.server.url);
  await see('home-signed-in');

  await page.goto(`${demo.server.url}/session/end`);
  await visitor.heading('Sign out?');
  await see('sign-out');
  await visitor.press('Sign out');
  await visitor.heading('You are signed out');

  const askForDevice = async () => {
    const form = { client_id: 'demo-device', scope: 'openid profile offline_access' };
    const answer = await fetch(`${demo.server.url}/device/auth`, {
      method: 'POST',
      body: new URLSearchParams(form),
    });
    return (await answer.json()) as { user_code: string; verification_uri_complete: string };
  };
  await page.goto(`${demo.server.url}/device`);
  await see('device');
  await page.getByLabel('Code').fill('BCDF-GHJK');
  await visitor.press('Continue');
  await page.locator('#code-error:not(:empty)').waitFor();
  await see('device-wrong');
  await page.getByLabel('Code').fill((await askForDevice()).user_code.toLowerCase());
  await visitor.press('Continue');
  await visitor.heading('Is this your device?');
  await see('device-confirm');
  await visitor.press('It is not mine');
  await visitor.heading('Not connected');
  await see('device-denied');
  // The picture on the device leads here.
  await page.goto((await askForDevice()).verification_uri_complete);
  await visitor.heading('Is this your device?');
  await visitor.press('It is mine, go on');
  await visitor.enterPassword();
  await visitor.enterCode();
  await visitor.heading('Allow this app');
  await see('device-consent');
  await visitor.press('Allow');
  await visitor.heading('Your device is connected');
  await see('device-connected');

  await visitor.begin();
  await visitor.arrive();
  demo.unreachable = true;
  await visitor.begin(demo.intranet);
  await visitor.arrive(demo.intranet);
  await page.goto(`${demo.server.url}/session/end`);
  await visitor.press('Sign out');
  await visitor.heading('You are signed out');
  expect(await page.locator('.told li').allTextContents()).toEqual([
    'NotebookSigned out',
    'The televisionSign out there too',
    'The intranetNot answering',
  ]);
  await see('signed-out-apps');

  await visitor.begin();
  await visitor.enterPassword();
  await visitor.heading('Enter your code');
  await see('totp');
  await visitor.enterCode('000000');
  await page.locator('#code-error:not(:empty)').waitFor();
  await see('totp-wrong');
  await page.getByRole('link', { name: 'Use a recovery code' }).click();
  await visitor.heading('Use a recovery code');
  await see('recovery');

  // Nobody is signed in: there is nothing to ask.
  await page.goto(`${demo.server.url}/session/end`);
  await visitor.heading('You are signed out');
  await see('signed-out');
  for (const [name, path] of [
    ['nothing-here', '/nowhere'],
    ['expired', '/interaction/an-old-one'],
    ['unknown-app', '/auth?client_id=nobody'],
    ['wrong-address', '/auth?client_id=demo-app&response_type=code&redirect_uri=https://elsewhere.example/'],
  ]) {
    await page.goto(demo.server.url + path);
    await see(`error-${name}`);
  }
  expect(visitor.complaints).toEqual([]);
});

test('without JavaScript the password pages say so', async () => {
  const plainBrowser = await launchBrowser({ scripts: false });
  onTestFinished(() => plainBrowser.close());
  const { page, complaints } = await newVisitor(plainBrowser, demo, 'cy');
  await page.goto(`${demo.app}/login`);
  expect(await page.getByText(/Signing in needs JavaScript/).isVisible()).toBe(true);
  expect(await page.getByLabel('Username').isVisible()).toBe(false);
  await page.goto(`${page.url()}/register`);
  expect(await page.getByText(/Creating an account needs JavaScript/).isVisible()).toBe(true);
  expect(await page.getByLabel('Username').isVisible()).toBe(false);
  expect(complaints).toEqual([]);
});

test('all but the password works without JavaScript', async () => {
  const ben = await newVisitor(browser, demo, 'ben');
  await ben.begin();
  await ben.fillRegistration();
  await ben.press('Create account');
  await ben.heading('Set up your authenticator');

  // The same person at the same step, in a browser that runs no scripts.
  const storageState = await ben.context.storageState();
  const plain = await newVisitor(browser, demo, 'ben', { javaScriptEnabled: false, storageState });
  await plain.page.goto(ben.page.url());
  await plain.readTotpSecret();
  await plain.page.getByLabel('Code').fill('000000');
  await plain.press('Confirm');
  await plain.page.getByText('This code is wrong or was used before.').waitFor();
  await plain.confirmTotp();
  expect(plain.recoveryCodes).toHaveLength(10);
  await plain.goOn();
  await plain.press('Allow');
  await plain.arrive();
  await plain.signOut();
  expect([...ben.complaints, ...plain.complaints]).toEqual([]);
});
