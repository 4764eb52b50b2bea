/**
 * Forward-auth: what a proxy asks before it lets a request through to a site that knows no OpenID Connect.
 *
 * | address | on | what happens |
 * | --- | --- | --- |
 * | /forward-auth | the proxy's inner request | 200 with who it is, 403, or off to the sign-in |
 * | /forward-auth/start | the issuer | off to the authorization endpoint, as the site's client |
 * | /forward-auth/signed-in | the issuer | signed in: off to the site with a code |
 * | /forward-auth/denied | the issuer | signed in, but not allowed: why, and the way to another account |
 * | /forward-auth/complete | the site | the code becomes the cookie of the parent domain; back to where it began |
 *
 * The proxy alone says which site was asked for (TRUSTED_PROXIES). Identity headers that come in are not looked at.
 */
import Router from '@koa/router';
import type { Context, Middleware } from 'koa';
import type { ErrorState } from '../http/errors.ts';
import { policyAtSites } from '../http/headers.ts';
import { forwardedRequest } from '../http/request.ts';
import type { Views } from '../http/views.ts';
import type { cookieNames } from '../lib/cookies.ts';
import { randomId, sha256 } from '../lib/crypto.ts';
import { AppError } from '../lib/errors.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Check } from './check.ts';
import type { Site, Sites } from './sites.ts';
import type { Holder, Tickets } from './tickets.ts';

export interface ForwardAuthRouteDeps {
  issuer: string;
  sites: Sites;
  tickets: Tickets;
  check: Check;
  cookieDomain: string;
  cookies: Pick<ReturnType<typeof cookieNames>, 'forwardAuth' | 'forwardAuthStart'>;
  /** How long a sign-on session lasts: no ticket is good for longer. */
  lifetimeSeconds: number;
  /** Who is signed in at the issuer in this browser. */
  signedIn(ctx: Context): Promise<Holder | undefined>;
  signInPath(request: {
    host: string;
    maxAgeSeconds: number | undefined;
    state: string;
    /** Asks for another account than the one that is signed in. */
    anotherAccount: boolean;
  }): string;
  render(name: 'site_denied', view: Views['site_denied'], base?: string): string;
  usernameOf(accountId: string): Promise<string | undefined>;
  onOutcome(
    outcome: 'allowed' | 'denied' | 'sign_in' | 'step_up' | 'entered',
    who?: Holder & { host: string },
  ): void;
  /** Milliseconds since the epoch. */
  now: () => number;
}

const secretForm = /^[\w-]{24}$/;
const hashForm = /^[\w-]{43}$/;

export function createForwardAuthRoutes(deps: ForwardAuthRouteDeps): Middleware {
  const { issuer, sites, tickets, cookies } = deps;
  const secure = issuer.startsWith('https:');
  const cookie = { httpOnly: true, sameSite: 'lax', secure, overwrite: true, signed: false } as const;
  const router = new Router({ prefix: '/forward-auth' });
  router.use(async (ctx, next) => {
    ctx.set('Cache-Control', 'no-store');
    await next();
  });

  /** The site that the proxy was asked for, and under which address. */
  function askedFor(ctx: Context) {
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

  router.all('/', async (ctx) => {
    const { site, method, url } = askedFor(ctx);
    // Traefik and Caddy ask about this one too, and hand the answer on to the browser.
    if (new URL(url).pathname === '/forward-auth/complete')
      return complete(ctx, site, new URL(url).searchParams);
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

  /** Where the browser goes on at the issuer, for this address; the way back is bound to this browser. */
  function passageTo(ctx: Context, path: string, url: string): string {
    const [known = ''] = valuesOf(ctx, cookies.forwardAuthStart);
    // The same for all tabs of a browser that begin at the same time.
    const secret = secretForm.test(known) ? known : randomId(18);
    ctx.cookies.set(cookies.forwardAuthStart, secret, { ...cookie, maxAge: lifeSeconds.siteVisit * 1000 });
    return `${issuer}${path}?${new URLSearchParams({ rd: url, browser: sha256(secret) })}`;
  }

  /** nginx takes 401 alone and finds the address in a header; the others hand a redirect on. */
  function beginSignIn(ctx: Context, url: string): void {
    const location = passageTo(ctx, '/forward-auth/start', url);
    if (ctx.query.redirect === 'off') {
      ctx.set('X-Auth-Sign-In', location);
      return;
    }
    ctx.redirect(location);
    ctx.status = 302;
  }

  /** The proxy shows this page at the site; nginx shows none of ours, and sends the browser to the issuer for it. */
  function showDenied(ctx: Context, site: Site, url: string, username: string): void {
    if (ctx.query.redirect === 'off') {
      ctx.set('X-Auth-Sign-In', passageTo(ctx, '/forward-auth/denied', url));
      return;
    }
    const switchUrl = `${passageTo(ctx, '/forward-auth/start', url)}&switch`;
    ctx.type = 'html';
    ctx.set('Content-Security-Policy', policyAtSites(issuer));
    const view = { host: site.host, username, switchUrl, id: String(ctx.state.requestId) };
    ctx.body = deps.render('site_denied', view, issuer);
  }

  router.get('/denied', async (ctx) => {
    const { site } = passageOf(ctx.query.rd, ctx.query.browser);
    const who = await deps.signedIn(ctx);
    const username = who && (await deps.usernameOf(who.accountId));
    ctx.status = 403;
    ctx.type = 'html';
    const switchUrl = `/forward-auth/start${ctx.search}&switch`;
    ctx.body = deps.render('site_denied', {
      host: site.host,
      username,
      switchUrl,
      id: String(ctx.state.requestId),
    });
  });

  /** Where the browser wants to go and which browser it is; it comes back from the sign-in as `state`. */
  function passageOf(rd: unknown, browser: unknown) {
    const target = typeof rd === 'string' ? sites.ofUrl(rd) : undefined;
    if (!target || typeof browser !== 'string' || !hashForm.test(browser))
      throw new AppError(
        'invalid_request',
        'This address leads to no site that is known here. If you run the site: name its host in FORWARD_AUTH_FILE.',
      );
    return { ...target, browser };
  }

  router.get('/start', (ctx) => {
    const { site, url, browser } = passageOf(ctx.query.rd, ctx.query.browser);
    const state = Buffer.from(JSON.stringify([url, browser])).toString('base64url');
    ctx.redirect(
      deps.signInPath({
        host: site.host,
        maxAgeSeconds: site.max_age_seconds,
        state,
        anotherAccount: 'switch' in ctx.query,
      }),
    );
    ctx.status = 303;
  });

  router.get('/signed-in', async (ctx) => {
    const { site, url, browser } = passageOf(...fromState(ctx.query.state));
    const who = ctx.query.error === undefined ? await deps.signedIn(ctx) : undefined;
    Object.assign(ctx.state, { goOn: { name: site.host, uri: `${site.origin}/` } } satisfies ErrorState);
    // Not answered by another try: that might fail as soon, and go round.
    if (!who)
      throw new AppError('invalid_request', `The sign-in was not completed. Open ${site.host} again.`);
    const code = await tickets.issueCode({ ...who, origin: site.origin, url, browser });
    ctx.redirect(`${site.origin}/forward-auth/complete?code=${code}`);
    ctx.status = 303;
  });

  router.get('/complete', async (ctx) => {
    const { site } = askedFor(ctx);
    await complete(ctx, site, ctx.URL.searchParams);
  });

  async function complete(ctx: Context, site: Site, query: URLSearchParams): Promise<void> {
    const [secret = ''] = valuesOf(ctx, cookies.forwardAuthStart);
    const passage = await tickets.takeCode(query.get('code') ?? '', site.origin, secret);
    if (!passage)
      throw new AppError(
        'interaction_expired',
        `This sign-in has expired, was used before or was begun in another browser. Open ${site.host} again.`,
      );
    const expiresAt = Math.floor(deps.now() / 1000) + deps.lifetimeSeconds;
    const ticket = await tickets.seal(passage, expiresAt);
    ctx.cookies.set(cookies.forwardAuth, ticket, {
      ...cookie,
      domain: deps.cookieDomain,
      maxAge: deps.lifetimeSeconds * 1000,
    });
    deps.onOutcome('entered', {
      accountId: passage.accountId,
      sessionUid: passage.sessionUid,
      host: site.host,
    });
    ctx.redirect(passage.url);
    ctx.status = 303;
  }

  return router.routes() as Middleware;
}

/** What a browser shows as a page. A script that is sent to a sign-in page would not know what to do with it. */
function isNavigation(ctx: Context, method: string): boolean {
  const mode = ctx.get('sec-fetch-mode');
  return (
    (method === 'GET' || method === 'HEAD') &&
    (mode === '' || mode === 'navigate') &&
    ctx.accepts('html') === 'html'
  );
}

/** Every value that the browser sends under this name: a sibling site can plant further ones. */
function valuesOf(ctx: Context, name: string): string[] {
  const cookies = (ctx.req.headers.cookie ?? '').split(';').map((part) => part.trim());
  return cookies.filter((part) => part.startsWith(`${name}=`)).map((part) => part.slice(name.length + 1));
}

function fromState(state: unknown): [unknown, unknown] {
  try {
    const [rd, browser] = JSON.parse(Buffer.from(String(state), 'base64url').toString('utf8'));
    return [rd, browser];
  } catch {
    return [undefined, undefined];
  }
}
