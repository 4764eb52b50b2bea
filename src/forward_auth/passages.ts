/** Takes one browser from a site to the issuer and back. No other browser can finish the way. */
import type { Context } from 'koa';
import type { cookieNames } from '../lib/cookies.ts';
import { randomId, sha256 } from '../lib/crypto.ts';
import { AppError } from '../lib/errors.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Site, Sites } from './sites.ts';
import type { Holder, Tickets } from './tickets.ts';

export interface PassageDeps {
  issuer: string;
  sites: Sites;
  tickets: Tickets;
  cookieDomain: string;
  cookies: Pick<ReturnType<typeof cookieNames>, 'forwardAuth' | 'forwardAuthStart'>;
  /** The lifetime of a session. No ticket is valid for longer. */
  lifetimeSeconds: number;
  onOutcome(
    outcome: 'allowed' | 'denied' | 'sign_in' | 'step_up' | 'entered',
    who?: Holder & { host: string },
  ): void;
  /** Milliseconds since the epoch. */
  now: () => number;
}

const secretForm = /^[\w-]{24}$/;
const hashForm = /^[\w-]{43}$/;

export type Passages = ReturnType<typeof createPassages>;

export function createPassages({ issuer, sites, tickets, cookies, ...deps }: PassageDeps) {
  const secure = issuer.startsWith('https:');
  const cookie = { httpOnly: true, sameSite: 'lax', secure, overwrite: true, signed: false } as const;
  return {
    /** The address at the issuer to which the browser goes for `url`. The way back is bound to this browser. */
    to(ctx: Context, path: string, url: string): string {
      const [known = ''] = valuesOf(ctx, cookies.forwardAuthStart);
      // The same secret for all tabs of a browser that begin at the same time.
      const secret = secretForm.test(known) ? known : randomId(18);
      ctx.cookies.set(cookies.forwardAuthStart, secret, { ...cookie, maxAge: lifeSeconds.siteVisit * 1000 });
      return `${issuer}${path}?${new URLSearchParams({ rd: url, browser: sha256(secret) })}`;
    },
    /**
     * Where the browser wants to go, and which browser it is. Both return from the sign-in as `state`. Throws
     * AppError 400.
     */
    of(rd: unknown, browser: unknown) {
      const target = typeof rd === 'string' ? sites.ofUrl(rd) : undefined;
      if (!target || typeof browser !== 'string' || !hashForm.test(browser))
        throw new AppError(
          'invalid_request',
          'This address leads to no site that is known here. If you run the site: name its host in FORWARD_AUTH_FILE.',
        );
      return { ...target, browser };
    },
    /**
     * Exchanges the code for the cookie of the parent domain, and sends the browser back to where it began. Throws
     * AppError 400 `interaction_expired`.
     */
    async complete(ctx: Context, site: Site, query: URLSearchParams): Promise<void> {
      const [secret = ''] = valuesOf(ctx, cookies.forwardAuthStart);
      const passage = await tickets.takeCode(query.get('code') ?? '', site.origin, secret);
      if (!passage)
        throw new AppError(
          'interaction_expired',
          `This sign-in has expired, was used before or was begun in another browser. Open ${site.host} again.`,
        );
      const expiresAt = Math.floor(deps.now() / 1000) + deps.lifetimeSeconds;
      const ticket = await tickets.seal(passage, expiresAt);
      const maxAge = deps.lifetimeSeconds * 1000;
      ctx.cookies.set(cookies.forwardAuth, ticket, { ...cookie, domain: deps.cookieDomain, maxAge });
      const { accountId, sessionUid, url } = passage;
      deps.onOutcome('entered', { accountId, sessionUid, host: site.host });
      ctx.redirect(url);
      ctx.status = 303;
    },
  };
}

/** Every value that the browser sends under this name. A sibling site can add values. */
export function valuesOf(ctx: Context, name: string): string[] {
  const cookies = (ctx.req.headers.cookie ?? '').split(';').map((part) => part.trim());
  return cookies.filter((part) => part.startsWith(`${name}=`)).map((part) => part.slice(name.length + 1));
}
