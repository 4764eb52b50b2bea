/** A person's own account in a real browser: signed in to, looked at, changed. SCREENSHOTS=<folder> as in pages.test.ts. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { createVisits } from '../support/browser_visits.ts';
import { type Demo, startDemo } from '../support/demo.ts';
import { createLook } from '../support/look.ts';
import { newVisitor, type Visitor } from '../support/visitor.ts';

const look = createLook('account');
let demo: Demo;
let browser: Browser;
beforeAll(async () => {
  [demo, browser] = await Promise.all([startDemo(), launchBrowser()]);
});
afterAll(async () => {
  await browser.close();
  await demo.close();
});

const { visit } = createVisits(() => ({ browser, demo }));

/** Somebody with an account and both factors, at their account page. */
async function atAccount(username: string, owner?: Visitor): Promise<Visitor> {
  const visitor = await visit(username);
  if (owner) visitor.totpSecret = owner.totpSecret;
  else await visitor.createAccount();
  await visitor.page.goto(`${demo.server.url}/account`);
  await signIn(visitor);
  return visitor;
}

async function signIn(visitor: Visitor, password = visitor.password): Promise<void> {
  await visitor.heading('Sign in');
  await visitor.enterPassword({ username: visitor.username, password });
  await visitor.enterCode();
  await visitor.heading('Your account');
}

async function confirm({ page, code, password, press }: Visitor): Promise<void> {
  await page.getByLabel('Present password').fill(password);
  await page.getByLabel('Code').fill(code());
  await press('Confirm');
}

const newPassword = 'a staple battery that horses correct';

test('the password is changed without being sent; then the new one signs in and the old one does not', async () => {
  const ada = await atAccount('ada');
  const { page } = ada;
  await look(ada, 'account');
  await page.getByRole('link', { name: 'Change password' }).click();
  await ada.heading('Confirm that it is you');
  await look(ada, 'confirm');
  await page.getByLabel('Present password').fill('not the right password');
  await page.getByLabel('Code').fill('000000');
  await ada.press('Confirm');
  await page.getByText('This password is wrong.').waitFor();
  await page.getByLabel('Present password').fill(ada.password);
  await ada.press('Confirm');
  await page.getByText('This code is wrong or was used before.').waitFor();
  await look(ada, 'confirm-wrong');
  await confirm(ada);
  await ada.heading('Choose a new password');
  await page.getByLabel('New password').fill('too short');
  await ada.press('Change password');
  await page.getByText('Use at least 12 characters.').waitFor();
  await page.getByLabel('New password').fill(newPassword);
  await page.getByRole('meter', { name: 'Strength' }).waitFor();
  await look(ada, 'password');
  await ada.press('Change password');
  await ada.heading('You are signed out');
  await look(ada, 'signed-out');

  await page.getByRole('link', { name: 'Sign in' }).click();
  await ada.heading('Sign in');
  await ada.enterPassword();
  await page.getByText('Username or password is wrong.').waitFor();
  await signIn(ada, newPassword);
  for (const password of [ada.password, newPassword]) {
    expect(ada.sent.join('\n')).not.toContain(password);
    expect(ada.sent.join('\n')).not.toContain(password.replaceAll(' ', '+'));
  }
});

test('the authenticator is replaced: its codes sign in, those of the old one do not', async () => {
  const ben = await atAccount('ben');
  const { page } = ben;
  const old = ben.totpSecret;
  await page.getByRole('link', { name: 'Replace authenticator' }).click();
  await confirm(ben);
  await ben.heading('Replace your authenticator');
  await ben.readTotpSecret();
  expect(ben.totpSecret).not.toBe(old);
  await look(ben, 'authenticator');
  await ben.confirmTotp();
  expect(ben.recoveryCodes).toHaveLength(10);
  await look(ben, 'recovery-codes');
  await ben.goOn();
  await ben.heading('Your account');

  await ben.press('Sign out everywhere');
  await ben.heading('You are signed out');
  await page.getByRole('link', { name: 'Sign in' }).click();
  await ben.enterPassword();
  await ben.heading('Enter your code');
  const present = ben.totpSecret;
  ben.totpSecret = old;
  await ben.enterCode();
  await page.getByText('This code is wrong or was used before.').waitFor();
  ben.totpSecret = present;
  await ben.enterCode();
  await ben.heading('Your account');

  await page.getByRole('link', { name: 'Make new codes' }).click();
  await confirm(ben);
  await ben.heading('Make new recovery codes');
  await look(ben, 'recovery-codes-ask');
  await ben.press('Make new codes');
  await ben.heading('Keep these recovery codes');
});

test('sign out everywhere ends the other browser and the app', async () => {
  const cleo = await atAccount('cleo');
  const phone = await atAccount('cleo', cleo);
  await phone.page.goto(demo.app);
  await phone.press('Sign in');
  await phone.press('Allow');
  await phone.arrive();
  await cleo.page.goto(`${demo.server.url}/account`);
  await cleo.page.getByText('This one', { exact: true }).waitFor();
  expect(await cleo.page.getByRole('button', { name: /^Sign out Chrome/ }).count()).toBe(2);
  expect(await cleo.page.getByRole('listitem').filter({ hasText: 'Notebook' }).count()).toBe(1);
  await look(cleo, 'account-full');
  await cleo.press('Sign out everywhere');
  await cleo.heading('You are signed out');
  await phone.press('Refresh');
  await phone.page.getByText('You are not signed in here.').waitFor();
  await phone.page.goto(`${demo.server.url}/account`);
  await phone.heading('Sign in');
});

test('by keyboard alone, and what ends access works without JavaScript', async () => {
  const dan = await atAccount('dan');
  const { keyboard } = dan.page;
  const tabTo = async (name: string) => {
    for (let presses = 0; presses < 15; presses += 1) {
      await keyboard.press('Tab');
      const focused = dan.page.locator(':focus');
      if ((await focused.textContent())?.trim() === name) return;
    }
    throw new Error(`Tab does not reach ${name}`);
  };
  await tabTo('Replace authenticator');
  await keyboard.press('Enter');
  await dan.heading('Confirm that it is you');
  await keyboard.type(dan.password);
  await keyboard.press('Tab');
  await keyboard.press('Tab');
  await keyboard.type(dan.code());
  await keyboard.press('Enter');
  await dan.heading('Replace your authenticator');

  const storageState = await dan.context.storageState();
  const plain = await visit('dan', { javaScriptEnabled: false, storageState });
  await plain.page.goto(`${demo.server.url}/account/authenticator`);
  await plain.readTotpSecret();
  await plain.confirmTotp();
  await plain.goOn();
  await plain.heading('Your account');
  await plain.press('Sign out everywhere');
  await plain.heading('You are signed out');
});

test('without JavaScript the confirmation says why it cannot be', async () => {
  const eva = await atAccount('eva');
  const plainBrowser = await launchBrowser({ scripts: false });
  onTestFinished(() => plainBrowser.close());
  const storageState = await eva.context.storageState();
  const { page } = await newVisitor(plainBrowser, demo, 'eva', { storageState });
  await page.goto(`${demo.server.url}/account/password`);
  expect(await page.getByText(/This needs JavaScript/).isVisible()).toBe(true);
  expect(await page.getByLabel('Present password').isVisible()).toBe(false);
});
