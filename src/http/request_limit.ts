/**
 * The limit that stands before every path: how often an address may ask for anything, counted in this process, so that it
 * costs the endpoints of apps nothing. What stores or computes more has a tighter limit besides, in the same order of
 * app.ts. A path that nobody has thought of is one of a page here.
 */
import type { Context, Middleware } from 'koa';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { tooManyRequests } from '../lib/errors.ts';
import type { NetworksOf } from './networks.ts';
import { pathOf } from './rate_limit.ts';

/** What apps, APIs, proxies and load balancers ask for, one of them for many people; and what is answered from memory. */
const machines = new Set([
  '/token',
  '/token/introspection',
  '/token/revocation',
  '/me',
  '/jwks',
  '/request',
  '/device/auth',
  '/backchannel',
  '/forward-auth',
  '/health/live',
  '/health/ready',
]);
const machinePrefixes = ['/.well-known/', '/assets/'];

/** For each attempt at a sign-in that an address has: pages of a browser, and requests of a machine. */
const [pagesPerAttempt, machinesPerAttempt] = [20, 100];
/** What a machine asks in vain counts as much as this: whoever guesses an app's secret is a machine too. */
const failureCosts = 10;

/** `perMinute`: attempts at a sign-in of one address. */
export function limitRequests(networksOf: NetworksOf, perMinute: number): Middleware {
  const pages = createCounter(networksOf, pagesPerAttempt * perMinute);
  const machine = createCounter(networksOf, machinesPerAttempt * perMinute);
  return async (ctx, next) => {
    if (!isMachine(ctx)) {
      await pages.count(ctx.ip, 1);
      return next();
    }
    await machine.count(ctx.ip, 1);
    await next();
    if (ctx.status === 401) await machine.charge(ctx.ip, failureCosts - 1);
  };
}

function isMachine(ctx: Context): boolean {
  const path = pathOf(ctx);
  return machines.has(path) || machinePrefixes.some((prefix) => path.startsWith(prefix));
}

function createCounter(networksOf: NetworksOf, points: number) {
  const limiter = new RateLimiterMemory({ points, duration: 60 });
  const charge = (address: string, cost: number) =>
    Promise.all(
      networksOf(address).map(async ({ key, times }) => {
        const { consumedPoints, msBeforeNext } = await limiter.penalty(key, cost);
        return consumedPoints > points * times ? Math.ceil(msBeforeNext / 1000) : 0;
      }),
    );
  return {
    charge,
    /** Throws AppError 429 for what is more than the limit. */
    async count(address: string, cost: number): Promise<void> {
      const waits = await charge(address, cost);
      const seconds = Math.max(...waits);
      if (seconds > 0) throw tooManyRequests(seconds);
    },
  };
}
