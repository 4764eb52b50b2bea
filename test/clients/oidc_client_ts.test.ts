/** oidc-client-ts in Chromium: a page without a server of its own. */
import type { User, UserManager } from 'oidc-client-ts';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPageApp } from '../browser/page_app.ts';
import { launchBrowser } from '../support/browser.ts';
import type { Demo } from '../support/demo.ts';
import { newVisitor } from '../support/visitor.ts';

declare global {
  var manager: UserManager;
}

const script = (issuer: string, clientId: string) => `
import { UserManager } from '/browser.js';
window.manager = new UserManager({
  authority: '${issuer}', client_id: '${clientId}', redirect_uri: location.origin + '/callback',
  popup_redirect_uri: location.origin + '/callback', post_logout_redirect_uri: location.origin + '/', scope: 'openid profile', loadUserInfo: true,
  automaticSilentRenew: false,
});
if (location.pathname === '/callback' && window.opener) {
  await manager.signinPopupCallback();
} else if (location.pathname === '/callback') {
  await manager.signinCallback();
  history.replaceState(null, '', '/');
}
const user = await manager.getUser();
document.body.textContent = user ? 'Signed in as ' + user.profile.preferred_username : 'Nobody';
`;

let browser: Browser;
let app: Demo;
beforeAll(async () => {
  [browser, app] = await Promise.all([
    launchBrowser(),
    startPageApp('node_modules/oidc-client-ts/dist/esm/oidc-client-ts.js', script),
  ]);
});
afterAll(async () => {
  await browser.close();
  await app.close();
});

test('a whole sign-in: code, userinfo across origins, refresh, sign-out', async () => {
  const ada = await newVisitor(browser, app, 'ada');
  await ada.createAccount();
  const { page } = ada;
  const shows = (text: string) => page.locator('body', { hasText: text }).waitFor();
  await page.goto(app.app);
  await shows('Nobody');
  await page.evaluate(() => void manager.signinRedirect());
  await page.getByLabel('Username').waitFor();
  await ada.enterPassword();
  await ada.enterCode();
  await shows('Signed in as ada');

  const token = (user: User | null) => user?.access_token ?? '';
  const before = token(await page.evaluate(() => manager.getUser()));
  expect(before).toMatch(/^v4\.local\./);
  const renewed = token(await page.evaluate(() => manager.signinSilent()));
  expect(renewed).toMatch(/^v4\.local\./);
  expect(renewed).not.toBe(before);

  await page.evaluate(() => void manager.signoutRedirect());
  await shows('Nobody');
  expect(ada.complaints).toEqual([]);
});

test('a sign-in in a popup, whose page comes back to the one that opened it', async () => {
  const bea = await newVisitor(browser, app, 'bea');
  await bea.createAccount();
  const { page, context } = bea;
  await page.goto(app.app);
  const opening = context.waitForEvent('page');
  const signedIn = page.evaluate(async () => (await manager.signinPopup()).profile.preferred_username);
  const popup = await opening;
  await popup.getByLabel('Username').fill('bea');
  await popup.getByLabel('Password', { exact: true }).fill(bea.password);
  await popup.getByRole('button', { name: 'Sign in', exact: true }).click();
  const code = popup.getByLabel('Code');
  await code.waitFor();
  // The opener is still there, which a Cross-Origin-Opener-Policy would have taken.
  expect(await popup.evaluate('window.opener !== null')).toBe(true);
  await code.fill(bea.code());
  expect(await signedIn).toBe('bea');
  expect(bea.complaints).toEqual([]);
});
