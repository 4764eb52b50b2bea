/** A site that does not know OpenID Connect, behind a real nginx with the configuration of the forward-auth page, in a real browser. */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { demoClients } from '../../src/demo/clients.ts';
import { launchBrowser } from '../support/browser.ts';
import { createLook } from '../support/look.ts';
import { type Nginx, startNginx } from '../support/nginx.ts';
import { freePorts } from '../support/npm_run.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { newVisitor } from '../support/visitor.ts';

const root = new URL('../..', import.meta.url).pathname;
const look = createLook('forward-auth-');
let server: TestServer;
let wiki: Server;
let nginx: Nginx;
let browser: Browser;
let issuer: string;
let site: string;
/** What reached the site. */
const seen: IncomingHttpHeaders[] = [];

beforeAll(async () => {
  wiki = createServer((req, res) => {
    seen.push(req.headers);
    res
      .setHeader('content-type', 'text/html')
      .end(`<h1>The wiki</h1>Hello ${req.headers['remote-user']}, at ${req.url}`);
  });
  await new Promise<void>((resolve) => wiki.listen(0, '127.0.0.1', resolve));
  const port = await freePorts();
  issuer = `https://id.cypher.test:${port}`;
  site = `https://wiki.cypher.test:${port}`;
  const urls = { app: issuer, api: issuer, intranet: issuer };
  const { resources: _, ...clients } = demoClients(urls);
  const host = `wiki.cypher.test:${port}`;
  server = await startServer({
    issuer,
    clients: Object.values(clients),
    settings: { TRUSTED_PROXIES: '127.0.0.1' },
    forwardAuth: {
      cookie_domain: 'cypher.test',
      sites: [
        { host },
        { host: `vault.cypher.test:${port}`, accounts: ['bob'] },
        { host: `safe.cypher.test:${port}`, accounts: ['bob'] },
      ],
    },
  });
  nginx = await startNginx(port, await serversOfThePage(port));
  browser = await launchBrowser({ resolve: 'MAP *.cypher.test 127.0.0.1' });
});
afterAll(async () => {
  await browser?.close();
  await nginx?.stop();
  await server?.close();
  wiki?.close();
});

/** The server block of the forward-auth page for these ports, and the issuer's own. */
async function serversOfThePage(port: number): Promise<string> {
  const page = await readFile(`${root}docs/integrate/forward-auth.md`, 'utf8');
  const [, block = ''] = /```nginx\n(.*?)```/s.exec(page) ?? [];
  const provider = server.url.replace('localhost', '127.0.0.1');
  const blocks = block
    .replaceAll('listen 443 ssl;', `listen 127.0.0.1:${port} ssl;`)
    .replaceAll('wiki.example.com', 'wiki.cypher.test')
    .replaceAll('X-Forwarded-Host $server_name', `X-Forwarded-Host $server_name:${port}`)
    .replaceAll('http://127.0.0.1:3000', provider)
    .replaceAll('http://127.0.0.1:8080', `http://127.0.0.1:${(wiki.address() as AddressInfo).port}`)
    .replaceAll(/\n\s*ssl_certificate.*/g, '');
  // Another site by the same block, and one as Traefik and Caddy serve it: they hand on what is answered to them.
  const handedOn = `server { listen 127.0.0.1:${port} ssl; server_name vault.cypher.test; location / {
    proxy_pass ${provider}/forward-auth; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Method $request_method; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $server_name:${port}; proxy_set_header X-Forwarded-Uri $request_uri; } }`;
  return `${blocks} ${blocks.replaceAll('wiki.cypher.test', 'safe.cypher.test')} ${handedOn} server { listen 127.0.0.1:${port} ssl; server_name id.cypher.test; location / {
    proxy_pass ${provider}; proxy_set_header X-Forwarded-For $remote_addr; } }`;
}

test('a stranger signs in on the way to the site, arrives where they wanted to go, and is out after the sign-out', async () => {
  const urls = {
    server: { ...server, url: issuer },
    app: site,
    api: issuer,
    intranet: issuer,
    unreachable: false,
  };
  const ada = await newVisitor(browser, { ...urls, close: server.close }, 'ada', { ignoreHTTPSErrors: true });
  const { page } = ada;
  await page.setExtraHTTPHeaders({ 'Remote-User': 'root', 'Remote-Email': 'root@example.com' });
  await page.goto(`${site}/pages/home?a=1&b=2`);
  await page.getByText('wiki.cypher.test').first().waitFor();
  await ada.signUp();
  await page.getByRole('heading', { name: 'The wiki' }).waitFor();
  expect(page.url()).toBe(`${site}/pages/home?a=1&b=2`);
  expect(await page.textContent('body')).toContain('Hello ada, at /pages/home?a=1&b=2');
  expect(seen.map((headers) => [headers['remote-user'], headers['remote-email']])).toEqual(
    seen.map(() => ['ada', undefined]),
  );

  // A script's request is let in, and after the sign-out told so, not sent to a page.
  const asScript = () =>
    page.evaluate(() => fetch('/data').then(({ status, redirected }) => [status, redirected]));
  expect(await asScript()).toEqual([200, false]);
  const elsewhere = await ada.context.newPage();
  await elsewhere.goto(`${issuer}/session/end`);
  await elsewhere.getByRole('button', { name: 'Sign out', exact: true }).click();
  await elsewhere.getByText('signed out').first().waitFor();
  const before = seen.length;
  expect(await asScript()).toEqual([401, false]);
  await page.reload();
  await page.getByLabel('Username').waitFor();
  expect(new URL(page.url()).origin).toBe(issuer);
  expect(seen.length).toBe(before);

  // In again, with the password and a code, by way of a page whose form leads to the site's origin.
  await ada.enterPassword();
  await ada.enterCode();
  await page.getByRole('heading', { name: 'The wiki' }).waitFor();
  expect(
    ada.complaints.filter((each) => !each.includes('ERR_CERT') && !each.includes('net::ERR_FAILED')),
  ).toEqual([]);
});

test('whoever may not open a site is told so by a page of ours, at the site and behind nginx, and can use another account', async () => {
  const urls = {
    server: { ...server, url: issuer },
    app: site,
    api: issuer,
    intranet: issuer,
    unreachable: false,
  };
  const carl = await newVisitor(browser, { ...urls, close: server.close }, 'carl', {
    ignoreHTTPSErrors: true,
  });
  const { page } = carl;
  await page.goto(`${site}/`);
  await page.getByText('wiki.cypher.test').first().waitFor();
  await carl.signUp();
  await page.getByRole('heading', { name: 'The wiki' }).waitFor();
  for (const [name, shownAt] of [
    ['vault', 'vault.cypher.test'],
    ['safe', 'id.cypher.test'],
  ] as const) {
    const answer = await page.goto(site.replace('wiki', name));
    expect([name, answer?.status(), new URL(page.url()).hostname]).toEqual([name, 403, shownAt]);
    await carl.heading('This site is not open to you');
    // The style has come: without it a button is no wider than its words.
    const button = page.getByRole('link', { name: 'Use another account' });
    const underline = "getComputedStyle(document.querySelector('a.button')).textDecorationLine";
    expect(await page.evaluate(underline)).toBe('none');
    await look(carl, `denied-at-${shownAt}`);
    await button.click();
    await carl.heading('Sign in');
    expect(new URL(page.url()).origin).toBe(issuer);
  }
  // axe-core asks for the stylesheet itself, which the page may not.
  const ofThePage = carl.complaints.filter((each) => !each.includes('Connecting to'));
  expect(ofThePage.filter((each) => /Content.Security|blocked/.test(each))).toEqual([]);
});
