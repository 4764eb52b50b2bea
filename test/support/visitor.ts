/**
 * A person at a real Chromium, for the steps of a sign-up and a sign-in. Elements are found by the names that a
 * screen reader uses. Whatever the browser reports on the way (CSP, script errors, requests to other hosts) is kept
 * for the test to check.
 */
import axe from 'axe-core';
import { generateSync } from 'otplib';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { startRegistration } from '../../src/browser/opaque_client.ts';
import type { Demo } from './demo.ts';
import { createPerson, interactionOf } from './person.ts';

export type Visitor = Awaited<ReturnType<typeof newVisitor>>;

/** A refused step is answered with a page and its status, of which Chromium makes an error in the console. */
const statusOnly = /^Failed to load resource: the server responded with a status of 4\d\d/;

/** Opens a browser profile of its own. `username` gets an account by signUp. */
export async function newVisitor(
  browser: Browser,
  demo: Demo,
  username: string,
  options: BrowserContextOptions = {},
) {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  // Below the test's own limit, so that what was waited for is told.
  context.setDefaultTimeout(90_000);
  const page = await context.newPage();
  const origins = new Set([demo.server.url, demo.app, demo.api, demo.intranet]);
  const complaints: string[] = [];
  /** All that left this browser: addresses, headers and bodies. */
  const sent: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !statusOnly.test(message.text()))
      complaints.push(`console: ${message.text()} (${page.url()})`);
  });
  page.on('pageerror', (error) => complaints.push(`script: ${error.message} (${page.url()})`));
  page.on('requestfailed', (request) => {
    // What a page was still loading when it was left.
    const cause = request.failure()?.errorText;
    if (cause !== 'net::ERR_ABORTED') complaints.push(`request: ${request.url()} ${cause}`);
  });
  context.on('request', (request) => {
    sent.push(`${request.url()} ${JSON.stringify(request.headers())} ${request.postData() ?? ''}`);
  });
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol.startsWith('http') && !origins.has(origin))
      complaints.push(`stranger: ${request.method()} ${request.url()}`);
  });

  const password = 'correct horse battery staple';
  const visitor = {
    page,
    context,
    complaints,
    sent,
    username,
    password,
    totpSecret: '',
    recoveryCodes: [] as string[],

    /** From the recovery codes. */
    async goOn(): Promise<void> {
      await page.getByLabel('I have saved these codes').check();
      await visitor.press('Continue');
    },
    press: (name: string) => page.getByRole('button', { name, exact: true }).click(),
    heading: (name: string) => page.getByRole('heading', { level: 1, name }).waitFor(),

    /** The code of the next time step; turns the clock so that none is used twice. */
    code(): string {
      demo.server.clock.advance(30);
      return generateSync({
        secret: visitor.totpSecret,
        epoch: Math.floor(demo.server.clock.now() / 1000),
      });
    },

    /** Makes an account without the browser, as a native client would: sooner done, where sign-up is not the matter. */
    async createAccount(): Promise<void> {
      const person = createPerson(demo.server, username, password);
      const app = { client_id: 'demo-intranet', redirect_uri: `${demo.intranet}/callback` };
      const pkce = { code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' };
      const uid = interactionOf(await person.authorize(app, pkce)) ?? '';
      const registration = await startRegistration(password);
      const { body } = await person.step(uid, 'register/init', { username, request: registration.request });
      const record = await registration.finish(body.response);
      await person.step(uid, 'register/finish', { username, record, email: `${username}@example.com` });
      await person.setUpTotp(uid);
      visitor.totpSecret = person.totpSecret;
      visitor.recoveryCodes = person.recoveryCodes;
    },

    /** From an app's page to the provider. */
    async begin(app = demo.app): Promise<void> {
      await page.goto(app);
      await visitor.press('Sign in');
    },

    async fillRegistration(): Promise<void> {
      await page.getByRole('link', { name: 'Create account' }).click();
      await page.getByLabel('Username').fill(username);
      await page.getByLabel('Email').fill(`${username}@example.com`);
      await page.getByLabel('Password', { exact: true }).fill(password);
    },

    async readTotpSecret(): Promise<void> {
      const text = await page.getByTestId('totp-secret').textContent();
      visitor.totpSecret = (text ?? '').replaceAll(/\s/g, '');
    },

    async confirmTotp(): Promise<void> {
      await page.getByLabel('Code').fill(visitor.code());
      await visitor.press('Confirm');
      await visitor.heading('Keep these recovery codes');
      visitor.recoveryCodes = await page.getByTestId('recovery-code').allTextContents();
    },

    /** An account with an authenticator, as far as the page with the recovery codes and on from there. */
    async signUp(): Promise<void> {
      await visitor.fillRegistration();
      await visitor.press('Create account');
      await visitor.heading('Set up your authenticator');
      await visitor.readTotpSecret();
      await visitor.confirmTotp();
      await visitor.goOn();
    },

    async enterPassword(as = { username, password }): Promise<void> {
      await page.getByLabel('Username').fill(as.username);
      await page.getByLabel('Password', { exact: true }).fill(as.password);
      await visitor.press('Sign in');
    },

    async enterCode(code?: string): Promise<void> {
      // The page sends it by itself.
      await page.getByLabel('Code').fill(code ?? visitor.code());
    },

    /** Signs in as somebody who has an account, and allows the app where that is asked: once. */
    async signIn(): Promise<void> {
      await visitor.enterPassword();
      await visitor.enterCode();
      const allow = page.getByRole('button', { name: 'Allow', exact: true });
      await allow.or(page.getByText('You are signed in.')).waitFor();
      if (await allow.isVisible()) await allow.click();
      await visitor.arrive();
    },

    /** Waits for an app's page that says it has checked an ID token. */
    async arrive(app = demo.app): Promise<void> {
      await page.getByText('You are signed in.').waitFor();
      if (new URL(page.url()).origin !== app) throw new Error(`arrived at ${page.url()}`);
    },

    async signOut(): Promise<void> {
      await visitor.press('Sign out');
      await page.getByText('You are not signed in here.').waitFor();
    },

    /** What axe-core finds serious or critical here. Of the colour scheme only contrast depends. */
    async barriers(): Promise<string[]> {
      const found: string[] = [];
      await page.evaluate(axe.source);
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        const rules = colorScheme === 'dark' ? ['color-contrast'] : undefined;
        for (const { id, impact, nodes } of (await page.evaluate(runAxe, rules)).violations) {
          if (impact !== 'serious' && impact !== 'critical') continue;
          const where = nodes.map(({ target }) => target.join(' ')).join(', ');
          found.push(`${colorScheme}: ${id} at ${where} (${page.url()})`);
        }
      }
      return found;
    },
  };
  return visitor;
}

/** In the page. Of these rules, or of all. */
const runAxe = (rules: string[] | undefined): Promise<axe.AxeResults> =>
  (globalThis as unknown as { axe: typeof axe }).axe.run({
    resultTypes: ['violations'],
    ...(rules && { runOnly: rules }),
  });
