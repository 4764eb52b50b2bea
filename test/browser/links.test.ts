/** Links that people are sent, in a real browser: an invitation, and a new authenticator. SCREENSHOTS=<folder> as in pages.test.ts. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAccounts } from '../../src/accounts/accounts.ts';
import { createAuthenticatorResets } from '../../src/accounts/authenticator_resets.ts';
import { createInvitations } from '../../src/accounts/invitations.ts';
import { createRevocations } from '../../src/revocation/revocations.ts';
import { launchBrowser } from '../support/browser.ts';
import { type Demo, startDemo } from '../support/demo.ts';
import { createLook } from '../support/look.ts';
import { newVisitor } from '../support/visitor.ts';

const look = createLook('invitation');
let demo: Demo;
let browser: Browser;
beforeAll(async () => {
  [demo, browser] = await Promise.all([startDemo(), launchBrowser()]);
});
afterAll(async () => {
  await browser.close();
  await demo.close();
});

test('the link leads to an account of the name that was given; the token is in no later address', async () => {
  const { database, clock, audit, url } = demo.server;
  const accounts = createAccounts(database, clock.now);
  const invitations = createInvitations({ database, accounts, audit, now: clock.now });
  const { token } = await invitations.invite('Grace', 'grace@example.org', 3600);
  const grace = await newVisitor(browser, demo, 'grace');
  const { page } = grace;

  await page.goto(`${url}/invitation/${token}`);
  await grace.heading('You are invited');
  expect(page.url()).toBe(`${url}/invitation`);
  await look(grace, 'invited');
  const later = grace.sent.length;
  await grace.press('Continue');
  await grace.heading('Create your account');
  expect(await page.getByLabel('Username').inputValue()).toBe('Grace');
  expect(await page.getByLabel('Username').isEditable()).toBe(false);
  await look(grace, 'sign-up');
  await page.getByLabel('Password', { exact: true }).fill(grace.password);
  await grace.press('Create account');
  await grace.heading('Set up your authenticator');
  await grace.readTotpSecret();
  await grace.confirmTotp();
  await grace.goOn();
  await grace.heading('Your account');
  await page.getByText('grace@example.org').waitFor();
  for (const line of grace.sent.slice(later)) expect(line.split(' ')[0]).not.toContain(token);
  expect(grace.sent.join('\n')).not.toContain(`invitation/${token}"`);

  await page.goto(`${url}/invitation/${token}`);
  await grace.heading('This invitation has ended');
  await look(grace, 'ended');
  expect(grace.complaints).toEqual([]);
  await grace.context.close();
});

test('a lost authenticator is replaced by the link, and the person is at their account page', async () => {
  const { database, clock, audit, url } = demo.server;
  const accounts = createAccounts(database, clock.now);
  const revocations = createRevocations(database, clock.now);
  const resets = createAuthenticatorResets({ database, accounts, revocations, audit, now: clock.now });
  const hedy = await newVisitor(browser, demo, 'hedy');
  await hedy.createAccount();
  const { token } = await resets.issue('hedy', 3600);
  const { page } = hedy;

  await page.goto(`${url}/authenticator-reset/${token}`);
  await hedy.heading('Set up a new authenticator');
  expect(page.url()).toBe(`${url}/authenticator-reset`);
  await look(hedy, 'reset');
  await hedy.press('Continue');
  await hedy.heading('Sign in');
  expect(await page.getByLabel('Username').inputValue()).toBe('hedy');
  await page.getByLabel('Password', { exact: true }).fill(hedy.password);
  await hedy.press('Sign in');
  await hedy.heading('Replace your authenticator');
  await look(hedy, 'reset-set-up');
  await hedy.readTotpSecret();
  await hedy.confirmTotp();
  await hedy.goOn();
  await hedy.heading('Your account');

  await page.goto(`${url}/authenticator-reset/${token}`);
  await hedy.heading('This link has ended');
  await look(hedy, 'reset-ended');
  expect(hedy.complaints).toEqual([]);
  await hedy.context.close();
});
