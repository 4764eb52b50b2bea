/** form_post and rich requests in a real Chromium: what a person sees, and that the page's policy lets the answer through. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import type { Demo } from '../support/demo.ts';
import { createLook } from '../support/look.ts';
import { challengeOf, verifier } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { newVisitor } from '../support/visitor.ts';

const bank = {
  audience: 'https://bank.example/api',
  scopes: ['accounts'],
  client_id: 'bank',
  authorization_details_types: {
    payment: {
      title: 'Make one payment',
      fields: {
        amount: { label: 'Amount', required: true },
        creditor: { label: 'To', required: true },
        instant: { label: 'At once', type: 'boolean' },
      },
    },
  },
};
const payment = {
  type: 'payment',
  amount: '12.50 EUR',
  creditor: 'Bea Bold, DE02 1203 0000 0000 2020 51',
  instant: true,
};

/** An app that shows what was posted to it. */
async function startApp(): Promise<{ server: Server; origin: string }> {
  const server = createServer(async (req, res) => {
    let body = '';
    for await (const chunk of req) body += chunk;
    const { pathname } = new URL(String(req.url), 'http://localhost');
    const onward = `http://${String(req.headers.host).replace('localhost', '127.0.0.1')}`;
    if (pathname === '/bye' && !req.headers.host?.startsWith('127'))
      return res.writeHead(302, { location: `${onward}/bye` }).end();
    if (pathname === '/callback' && elsewhere)
      return res.writeHead(302, { location: `${elsewhere}/arrived` }).end();
    const posted = [...new URLSearchParams(body).keys()].sort().join(' ');
    res
      .setHeader('content-type', 'text/html')
      .end(`<title>app</title><link rel=icon href=data:,><p>${req.method} ${posted}`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, origin: `http://localhost:${(server.address() as AddressInfo).port}` };
}

/** Where the app's callback sends the browser on, if anywhere. */
const look = createLook('protocol-');
let elsewhere = '';
let app: Awaited<ReturnType<typeof startApp>>;
let server: TestServer;
let browser: Browser;
let demo: Demo;
beforeAll(async () => {
  app = await startApp();
  const client = {
    client_id: 'demo-intranet',
    client_name: 'The bookkeeper',
    token_endpoint_auth_method: 'none',
    redirect_uris: [`${app.origin}/callback`],
    post_logout_redirect_uris: [`${app.origin}/bye`],
    authorization_details_types: ['payment'],
  };
  server = await startServer({ clients: [client], resources: [bank] });
  demo = { server, app: app.origin, api: app.origin, intranet: app.origin } as Demo;
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
  app?.server.close();
});

const address = (more: Record<string, string> = {}) =>
  `${server.url}/auth?${new URLSearchParams({
    client_id: 'demo-intranet',
    redirect_uri: `${app.origin}/callback`,
    response_type: 'code',
    scope: 'openid accounts',
    resource: bank.audience,
    state: 'a state',
    response_mode: 'form_post',
    code_challenge: challengeOf(verifier()),
    code_challenge_method: 'S256',
    ...more,
  })}`;

test('a payment is shown in words, allowed by a button, and its answer posted to the app without a click', async () => {
  const ada = await newVisitor(browser, demo, 'ada');
  await ada.createAccount();
  await ada.page.goto(address({ authorization_details: JSON.stringify([payment]) }));
  await ada.enterPassword();
  await ada.enterCode();
  await ada.heading('Allow this app to use your account?');
  await ada.page.getByRole('heading', { name: 'Make one payment' }).waitFor();
  const rows = await ada.page.locator('.detail dl div').allInnerTexts();
  expect(rows.map((row) => row.split(/\n+/))).toEqual([
    ['Amount', '12.50 EUR'],
    ['To', 'Bea Bold, DE02 1203 0000 0000 2020 51'],
    ['At once', 'Yes'],
  ]);
  expect(await ada.barriers()).toEqual([]);
  await ada.press('Allow');
  await ada.page.getByText('POST code iss state').waitFor();
  expect(ada.complaints).toEqual([]);
});

test.each(['query', 'form_post'])(
  'Allow works where the callback redirects to another origin: %s',
  async (response_mode) => {
    const ben = await newVisitor(browser, demo, `ben-${response_mode.slice(0, 4)}`);
    await ben.createAccount();
    // Loopback by its other name: another origin, of which no page of ours knows.
    elsewhere = app.origin.replace('localhost', '127.0.0.1');
    await ben.page.goto(address({ scope: 'openid', resource: '', response_mode }).replace('&resource=', ''));
    await ben.enterPassword();
    await ben.enterCode();
    await ben.press('Allow');
    await ben.page.waitForURL(`${elsewhere}/arrived`);
    elsewhere = '';
    // So does a sign-out that is confirmed, and what comes after it.
    await ben.page.goto(
      `${server.url}/session/end?client_id=demo-intranet&post_logout_redirect_uri=${encodeURIComponent(`${app.origin}/bye`)}`,
    );
    await ben.press('Sign out');
    await ben.page.waitForURL(`${app.origin.replace('localhost', '127.0.0.1')}/bye`);
    expect(ben.complaints.filter((each) => !each.startsWith('stranger'))).toEqual([]);
  },
);

test('form_post: without scripts there is a button', async () => {
  const plain = await launchBrowser({ scripts: false });
  const page = await (await plain.newContext()).newPage();
  await page.goto(address({ prompt: 'none' }));
  await page.locator('button[type=submit]').click();
  await expect.poll(() => page.content()).toContain('POST error error_description iss state');
  await plain.close();
});

test('an address or an app that is not registered is named on a page that fits a phone, and home has a way to sign in', async () => {
  const dora = await newVisitor(browser, demo, 'dora');
  const sent = `https://a-very-long-host-name.of.a.staging.environment.example/callback?with=${'parameters'.repeat(12)}`;
  const wrong = new URL(address({}));
  wrong.searchParams.set('redirect_uri', sent);
  await dora.page.goto(wrong.href);
  await dora.heading('The app’s address is not registered');
  await dora.page.getByText(sent).waitFor();
  await look(dora, 'wrong-address');
  wrong.searchParams.set('client_id', 'an-app-of-yesterday');
  await dora.page.goto(wrong.href);
  await dora.heading('This app is not registered');
  await look(dora, 'unknown-app');
  await dora.page.goto(server.url);
  await look(dora, 'home');
  await dora.page.getByRole('link', { name: 'Sign in', exact: true }).click();
  await dora.heading('Sign in');
  expect(dora.complaints).toEqual([]);
});
