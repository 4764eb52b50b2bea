/** Somebody who is invited makes their account in a real browser. SCREENSHOTS=<folder> as in pages.test.ts. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAccounts } from '../../src/accounts/accounts.ts';
import { createInvitations } from '../../src/accounts/invitations.ts';
import { launchBrowser } from '../support/browser.ts';
import { type Demo, startDemo } from '../support/demo.ts';
import { createLook } from '../support/look.ts';
import { newVisitor } from '../support/visitor.ts';

// A sign-in stretches the password for about a second, and the machine may be busy.

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
  await grace.press('Continue');
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
