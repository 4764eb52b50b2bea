/** What the pages do for people beside the main job: they say all that is wrong, spare keystrokes, and offer ways out. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { createVisits } from '../support/browser_visits.ts';
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

const look = createLook('helpful-');
const { visit, visitWithAccount } = createVisits(() => ({ browser, demo }));

/** The paths of the interaction that are posted from now on, without its uid. */
function postsOf(page: Page): string[] {
  const posts: string[] = [];
  page.on('request', (request) => {
    if (request.method() === 'POST')
      posts.push(new URL(request.url()).pathname.split('/').slice(3).join('/'));
  });
  return posts;
}

const errorOf = (page: Page, field: string) => page.locator(`#${field}-error`).textContent();

test('sign-up says all that is wrong at once, and sends nothing', async () => {
  const { page, ...ada } = await visit('ada');
  await ada.begin();
  await page.getByRole('link', { name: 'Create account' }).click();
  await page.getByLabel('Email').fill('not an address');
  await page.getByLabel('Password', { exact: true }).fill('too short');
  const posts = postsOf(page);
  await ada.press('Create account');
  await page.locator('#password-error:not(:empty)').waitFor();
  expect(await Promise.all(['username', 'email', 'password'].map((field) => errorOf(page, field)))).toEqual([
    'Choose a username.',
    'This does not look like an email address.',
    'Use at least 12 characters.',
  ]);
  expect(await page.locator('[aria-invalid=true]').count()).toBe(3);
  expect(await page.locator(':focus').getAttribute('id')).toBe('username');
  expect(posts).toEqual([]);
});

test('a long password that is easy to guess is refused with the reason; a better one is taken', async () => {
  const { page, ...bea } = await visit('bea');
  await bea.begin();
  await bea.fillRegistration();
  const posts = postsOf(page);
  const password = page.getByLabel('Password', { exact: true });
  for (const weak of ['password1234', 'bea@example.com', 'aaaaaaaaaaaaaaaa']) {
    await password.fill(weak);
    await bea.press('Create account');
    await page.locator('#password-error:not(:empty)').waitFor();
    expect(await errorOf(page, 'password'), weak).toMatch(/^This password is too easy to guess\. \S.+\.$/);
  }
  await look({ page, ...bea }, 'weak');
  expect(posts).toEqual([]);
  await password.fill(bea.password);
  await bea.press('Create account');
  await bea.heading('Set up your authenticator');
  await page.getByText('Google Authenticator, Microsoft Authenticator or Aegis').waitFor();
});

test('the code page sends the sixth digit by itself, typed or pasted, and once', async () => {
  const { page, ...cleo } = await visitWithAccount('cleo');
  await cleo.begin();
  await cleo.enterPassword();
  await cleo.heading('Enter your code');
  const posts = postsOf(page);
  const code = page.getByLabel('Code');
  await code.pressSequentially('12345');
  await code.press('Backspace');
  await code.pressSequentially('5 ');
  expect(posts).toEqual([]);
  await code.pressSequentially('6');
  await code.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'This code is wrong or was used before.' }).waitFor();
  expect(posts).toEqual(['totp/verify']);

  // As a clipboard or a keyboard of East Asia has it.
  const right = cleo.code();
  await code.focus();
  await page.keyboard.insertText(
    `${right.slice(0, 3)} ${right.slice(3).replace(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit)))}`,
  );
  await cleo.heading('Allow this app');
  expect(posts).toEqual(['totp/verify', 'totp/verify']);
});

test('whoever is not the person of the code page gets back to an empty sign-in form', async () => {
  const dan = await visitWithAccount('dan');
  await visitWithAccount('dora');
  const { page } = dan;
  await dan.begin();
  await dan.enterPassword();
  await page.getByText('Signing in as dan.').waitFor();
  await dan.press('Not you?');
  await dan.heading('Sign in');
  await page.reload();
  await dan.heading('Sign in');
  expect(await page.getByLabel('Username').inputValue()).toBe('');
});

test('whoever is not the person of the consent page signs in as another, and the app gets that one', async () => {
  const eve = await visitWithAccount('eve');
  const finn = await visitWithAccount('finn');
  const { page } = eve;
  await eve.begin();
  await eve.enterPassword();
  await eve.enterCode();
  await page.getByText('You are signed in as eve.').waitFor();
  await look(eve, 'consent');
  await eve.press('Use another account');
  await eve.heading('Sign in');
  eve.totpSecret = finn.totpSecret;
  await eve.enterPassword({ username: 'finn', password: finn.password });
  await eve.enterCode();
  await page.getByText('You are signed in as finn.').waitFor();
  await eve.press('Allow');
  await eve.arrive();
  expect(await page.getByRole('table').textContent()).toContain('finn');
});

test('recovery codes: copied, saved, printed, and confirmed before the way goes on', async () => {
  const { page, ...gus } = await visit('gus', { permissions: ['clipboard-read', 'clipboard-write'] });
  await gus.begin();
  await gus.fillRegistration();
  await gus.press('Create account');
  await gus.readTotpSecret();
  await gus.confirmTotp();
  const codes = await page.getByTestId('recovery-code').allTextContents();
  await gus.press('Copy all');
  await page.getByRole('status').filter({ hasText: 'Copied.' }).waitFor();
  expect(await page.evaluate('navigator.clipboard.readText()')).toBe(`${codes.join('\n')}\n`);
  const download = page.waitForEvent('download');
  await gus.press('Save as a file');
  expect((await download).suggestedFilename()).toBe('recovery-codes.txt');
  await page.evaluate('window.print = () => { window.printed = true; }');
  await gus.press('Print');
  expect(await page.evaluate('window.printed')).toBe(true);
  await page.emulateMedia({ media: 'print' });
  expect(await page.getByTestId('recovery-code').first().isVisible()).toBe(true);
  expect(await page.getByRole('button', { name: 'Continue' }).isVisible()).toBe(false);
  await page.emulateMedia({ media: 'screen' });
  await look({ page, ...gus }, 'recovery-codes');

  await gus.press('Continue');
  expect(await page.locator('input:invalid').count()).toBe(1);
  await gus.heading('Keep these recovery codes');
  await gus.goOn();
  await gus.heading('Allow this app');
});

test('who has tried too often is told when to try again, and sees the time run', async () => {
  const { page, ...hal } = await visitWithAccount('hal');
  await hal.begin();
  await hal.enterPassword();
  await hal.heading('Enter your code');
  const wait = page.locator('[data-wait]');
  for (let tries = 0; tries < 20 && !(await wait.isVisible()); tries += 1) {
    const answered = page.waitForResponse((answer) => answer.url().includes('/totp/verify'));
    await page.getByLabel('Code').fill(String(100_000 + tries));
    await answered;
    await page.locator('#code-error:not(:empty)').waitFor();
  }
  await page
    .getByRole('alert')
    .filter({ hasText: /^Too many attempts\. Try again in / })
    .waitFor();
  const timer = page.getByRole('timer');
  const left = await timer.textContent();
  expect(left).toMatch(/^Time left: [\d:]+$/);
  await look({ page, ...hal }, 'wait');
  await expect.poll(() => timer.textContent()).not.toBe(left);

  // The same for a password, whose step answers in JSON.
  await page.goto(demo.app);
  await hal.press('Sign in');
  await page.clock.install();
  await hal.enterPassword();
  await page.getByRole('timer').filter({ hasText: 'Time left' }).waitFor();
  await page.clock.fastForward('24:00:00');
  await page.getByRole('status').filter({ hasText: 'You can try again now.' }).waitFor();
});

test('after a sign-out there is a way back in', async () => {
  const { page, ...ida } = await visitWithAccount('ida');
  await page.goto(`${demo.server.url}/session/end`);
  await ida.heading('You are signed out');
  await page.getByRole('link', { name: 'Sign in again' }).click();
  await ida.heading('Sign in');
});

test('without JavaScript nobody is sent to a sign-up that needs it', async () => {
  const plainBrowser = await launchBrowser({ scripts: false });
  onTestFinished(() => plainBrowser.close());
  const { page } = await newVisitor(plainBrowser, demo, 'jo');
  await page.goto(`${demo.app}/login`);
  expect(await page.getByText(/Signing in needs JavaScript/).isVisible()).toBe(true);
  expect(await page.getByText('Create account').isVisible()).toBe(false);
});
