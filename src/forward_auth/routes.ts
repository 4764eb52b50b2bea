/**
 * The routes of forward-auth: a proxy asks here before it lets a request through to a site.
 *
 * | address | on | what happens |
 * | --- | --- | --- |
 * | /forward-auth | the proxy's inner request | 200 with the identity headers, 403, or a way to the sign-in |
 * | /forward-auth/start | the issuer | redirects to the authorization endpoint, as the site's client |
 * | /forward-auth/signed-in | the issuer | signed in: redirects to the site with a code |
 * | /forward-auth/denied | the issuer | signed in, but not allowed: says so, and offers another account |
 * | /forward-auth/complete | the site | exchanges the code for the cookie of the parent domain, redirects back |
 *
 * Only a proxy in TRUSTED_PROXIES can say which site was asked for. Identity headers of the request are ignored.
 */
import type Router from '@koa/router';
import type { Context, Middleware } from 'koa';
import type { ErrorState } from '../http/errors.ts';
import { createPageRouter, seeOther } from '../http/flow.ts';
import { policyAtSites } from '../http/headers.ts';
import { forwardedRequest } from '../http/request.ts';
import type { Views } from '../http/views.ts';
import { AppError } from '../lib/errors.ts';
import type { Check } from './check.ts';
import { createPassages, type PassageDeps, type Passages, valuesOf } from './passages.ts';
import type { Site, Sites } from './sites.ts';
import type { Holder } from './tickets.ts';

export interface ForwardAuthRouteDeps extends PassageDeps {
  check: Check;
  /** Who is signed in at the issuer in this browser. */
  signedIn(ctx: Context): Promise<Holder | undefined>;
  signInPath(request: {
    host: string;
    maxAgeSeconds: number | undefined;
    state: string;
    /** Whether to ask for another account than the one that is signed in. */
    anotherAccount: boolean;
  }): string;
  render(name: 'site_denied', view: Views['site_denied'], base?: string): string;
  usernameOf(accountId: string): Promise<string | undefined>;
}

export function createForwardAuthRoutes(deps: ForwardAuthRouteDeps): Middleware {
  const router = createPageRouter('/forward-auth');
  const passages = createPassages(deps);
  mountProxyRoutes(router, deps, passages);
  mountIssuerRoutes(router, deps, passages);
  return router.routes() as Middleware;
}

/** The routes that the proxy asks, and the one that the browser requests at the site. */
function mountProxyRoutes(router: Router, deps: ForwardAuthRouteDeps, passages: Passages): void {
  const { issuer, sites, cookies } = deps;

  /** nginx accepts only 401, and reads the address from a header. The other proxies pass a redirect on. */
  function beginSignIn(ctx: Context, url: string): void {
    const location = passages.to(ctx, '/forward-auth/start', url);
    if (ctx.query.redirect === 'off') {
      ctx.set('X-Auth-Sign-In', location);
      return;
    }
    ctx.redirect(location);
    ctx.status = 302;
  }

  /** The proxy shows this page at the site. nginx cannot show it, so it sends the browser to the issuer for it. */
  function showDenied(ctx: Context, site: Site, url: string, username: string): void {
    if (ctx.query.redirect === 'off') {
      ctx.set('X-Auth-Sign-In', passages.to(ctx, '/forward-auth/denied', url));
      return;
    }
    const switchUrl = `${passages.to(ctx, '/forward-auth/start', url)}&switch`;
    ctx.type = 'html';
    ctx.set('Content-Security-Policy', policyAtSites(issuer));
    const view = { host: site.host, username, switchUrl, id: String(ctx.state.requestId) };
    ctx.body = deps.render('site_denied', view, issuer);
  }

  router.all('/', async (ctx) => {
    const { site, method, url } = askedFor(ctx, sites);
    // Traefik and Caddy ask about this address too, and pass the answer on to the browser.
    if (new URL(url).pathname === '/forward-auth/complete')
      return passages.complete(ctx, site, new URL(url).searchParams);
    const verdict = await deps.check(site, valuesOf(ctx, cookies.forwardAuth));
    deps.onOutcome(verdict.outcome);
    if (verdict.outcome === 'allowed') {
      ctx.set(verdict.headers);
      ctx.status = 200;
      ctx.body = '';
    } else if (verdict.outcome === 'denied') {
      ctx.status = 403;
      ctx.body = `You are signed in as ${verdict.username}, who may not enter ${site.host}.\n`;
      if (isNavigation(ctx, method)) showDenied(ctx, site, url, verdict.username);
    } else {
      ctx.status = 401;
      ctx.body = 'Sign in first.\n';
      if (isNavigation(ctx, method)) beginSignIn(ctx, url);
    }
  });
  router.get('/complete', async (ctx) => {
    const { site } = askedFor(ctx, sites);
    await passages.complete(ctx, site, ctx.URL.searchParams);
  });
}

/** The routes that the browser requests at the issuer, on its way to a sign-in and back. */
function mountIssuerRoutes(router: Router, deps: ForwardAuthRouteDeps, passages: Passages): void {
  router.get('/denied', async (ctx) => {
    const { site } = passages.of(ctx.query.rd, ctx.query.browser);
    const who = await deps.signedIn(ctx);
    const username = who && (await deps.usernameOf(who.accountId));
    ctx.status = 403;
    ctx.type = 'html';
    const switchUrl = `/forward-auth/start${ctx.search}&switch`;
    const view = { host: site.host, username, switchUrl, id: String(ctx.state.requestId) };
    ctx.body = deps.render('site_denied', view);
  });
  router.get('/start', (ctx) => {
    const { site, url, browser } = passages.of(ctx.query.rd, ctx.query.browser);
    const state = Buffer.from(JSON.stringify([url, browser])).toString('base64url');
    seeOther(
      ctx,
      deps.signInPath({
        host: site.host,
        maxAgeSeconds: site.max_age_seconds,
        state,
        anotherAccount: 'switch' in ctx.query,
      }),
    );
  });
  router.get('/signed-in', async (ctx) => {
    const { site, url, browser } = passages.of(...fromState(ctx.query.state));
    const who = ctx.query.error === undefined ? await deps.signedIn(ctx) : undefined;
    Object.assign(ctx.state, { goOn: { name: site.host, uri: `${site.origin}/` } } satisfies ErrorState);
    // Do not send the browser to sign in again here: that might fail in the same way, in an endless loop.
    if (!who)
      throw new AppError('invalid_request', `The sign-in was not completed. Open ${site.host} again.`);
    const code = await deps.tickets.issueCode({ ...who, origin: site.origin, url, browser });
    ctx.redirect(`${site.origin}/forward-auth/complete?code=${code}`);
    ctx.status = 303;
  });
}

/**
 * The site and the address that the proxy was asked for. Throws AppError 403 if there is no trusted proxy or no such
 * site.
 */
function askedFor(ctx: Context, sites: Sites) {
  const asked = forwardedRequest(ctx.req);
  if (!asked)
    throw new AppError(
      'forbidden',
      'This address is for proxies alone. If this is your proxy: name it in TRUSTED_PROXIES, and let it send X-Forwarded-Method, -Proto, -Host and -Uri.',
    );
  Object.assign(ctx.state, { atSite: true } satisfies ErrorState);
  const site = sites.at(asked.scheme, asked.host);
  if (!site || !asked.uri.startsWith('/'))
    throw new AppError(
      'forbidden',
      'This site is not set up here. If you run it: name its host in FORWARD_AUTH_FILE, as it stands in the address bar.',
    );
  Object.assign(ctx.state, { goOn: { name: site.host, uri: `${site.origin}/` } } satisfies ErrorState);
  return { site, method: asked.method, url: `${site.origin}${asked.uri}` };
}

/** Whether a browser will show the answer as a page. A script that is sent to a sign-in page could not use it. */
function isNavigation(ctx: Context, method: string): boolean {
  const mode = ctx.get('sec-fetch-mode');
  return (
    (method === 'GET' || method === 'HEAD') &&
    (mode === '' || mode === 'navigate') &&
    ctx.accepts('html') === 'html'
  );
}

function fromState(state: unknown): [unknown, unknown] {
  try {
    const [rd, browser] = JSON.parse(Buffer.from(String(state), 'base64url').toString('utf8'));
    return [rd, browser];
  } catch {
    return [undefined, undefined];
  }
}
