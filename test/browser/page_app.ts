/** An app that is nothing but a page with `cypher-idp/browser`, beside the provider; and what passes at the token endpoint. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { build } from 'esbuild';
import type { BrowserContext, Page } from 'playwright-core';
import type { Session } from '../../src/browser_client/types.ts';
import { demoClients } from '../../src/demo/clients.ts';
import type { Demo } from '../support/demo.ts';
import { startServer } from '../support/server.ts';

declare global {
  var session: Session;
  var started: Promise<string>;
  /** Set in a tab that is to hear nothing more. */
  var asleep: boolean;
}

const root = new URL('../..', import.meta.url).pathname;

/** A page's script, which has the module as '/browser.js'. */
type ScriptOf = (issuer: string, clientId: string) => string;

const ourScript: ScriptOf = (issuer, clientId) => `
import { createSession } from '/browser.js';
window.session = createSession({
  issuer: '${issuer}', clientId: '${clientId}', redirectUri: location.origin + '/callback',
  scope: 'openid profile', postLogoutRedirectUri: location.origin + '/',
});
const show = ({ status, reason, claims }) => {
  document.body.textContent = [status, reason, claims?.preferred_username ?? claims?.sub].filter(Boolean).join(' ');
};
session.subscribe(show);
window.started = session.start().then(({ status }) => status, ({ code, detail }) => [code, detail].filter(Boolean).join(' '));
`;

/** In place of the demo: its addresses are the page's. Another `module` than ours comes with a script of its own. */
export async function startPageApp(
  module = 'src/browser_client/index.ts',
  scriptOf = ourScript,
): Promise<Demo> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [module],
    bundle: true,
    minify: true,
    format: 'esm',
    write: false,
  });
  let script = '';
  const pages = createServer((req, res) => {
    const { pathname } = new URL(String(req.url), 'http://localhost');
    const send = (type: string, body: string) => res.setHeader('content-type', type).end(body);
    if (pathname === '/browser.js') send('text/javascript', outputFiles[0]?.text ?? '');
    else if (pathname === '/app.js') send('text/javascript', script);
    else if (pathname === '/favicon.ico') res.writeHead(204).end();
    else
      send(
        'text/html',
        '<!doctype html><title>A page</title><body></body><script type="module" src="/app.js"></script>',
      );
  });
  await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
  const url = `http://localhost:${(pages.address() as AddressInfo).port}`;
  const urls = { app: url, api: url, intranet: url };
  const { resources: _, ...entries } = demoClients(urls);
  const page = {
    client_id: 'page',
    client_name: 'A page',
    token_endpoint_auth_method: 'none',
    first_party: true,
    redirect_uris: [`${url}/callback`],
    post_logout_redirect_uris: [`${url}/`],
    grant_types: ['authorization_code', 'refresh_token'],
  };
  const server = await startServer({ clients: [...Object.values(entries), page] });
  script = scriptOf(server.url, page.client_id);
  return {
    server,
    ...urls,
    unreachable: false,
    async close() {
      pages.closeAllConnections();
      await new Promise((resolve) => pages.close(resolve));
      await server.close();
    },
  };
}

/** The network between a browser and the token endpoint. */
export interface Wire {
  /** The grants that arrived at the provider, in order. */
  grants: string[];
  /** How long the app believes access tokens to live from now on. */
  expiresIn: number | undefined;
  delayMs: number;
  /** How many of the next answers are lost after the provider has given them. */
  lose: number;
}

export async function tapWire(context: BrowserContext, issuer: string): Promise<Wire> {
  const wire: Wire = { grants: [], expiresIn: undefined, delayMs: 0, lose: 0 };
  await context.route(`${issuer}/token`, async (route) => {
    const form = new URLSearchParams(route.request().postData() ?? '');
    wire.grants.push(String(form.get('grant_type')));
    const answer = await route.fetch();
    if (wire.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, wire.delayMs));
    if (wire.lose > 0) {
      wire.lose -= 1;
      await route.abort('connectionreset');
      return;
    }
    const json = await answer.json();
    if (wire.expiresIn !== undefined && json.expires_in) json.expires_in = wire.expiresIn;
    await route.fulfill({ response: answer, json });
  });
  return wire;
}

export const tokenOf = (page: Page) => page.evaluate(() => session.accessToken());
export const stateOf = (page: Page) => page.evaluate(() => session.state);
export const outcomeOf = (page: Page) => page.evaluate(() => started);
export const shows = (page: Page, text: string) => page.locator('body', { hasText: text }).waitFor();
