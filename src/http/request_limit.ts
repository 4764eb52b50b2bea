/**
 * Limits how often an address may request anything, on every path. It counts in this process, so that the endpoints
 * of apps pay nothing for it. Routes that store or compute more have a tighter limit of their own. A path that is not
 * listed here counts as a page.
 */
import type { Context, Middleware } from 'koa';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { tooManyRequests } from '../lib/errors.ts';
import type { NetworksOf } from './networks.ts';
import { pathOf } from './rate_limit.ts';

/**
 * What apps, APIs, proxies and load balancers request, one of them for many people; and what is answered from memory.
 */
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

/** For each attempt at a sign-in that an address is allowed: so many page requests, and so many machine requests. */
const [pagesPerAttempt, machinesPerAttempt] = [20, 100];
/**
 * A request of a machine that is answered 401 counts as much as this: whoever guesses an app's secret is a machine
 * too.
 */
const failureCosts = 10;

/** `perMinute`: the attempts at a sign-in that one address is allowed. Throws AppError 429. */
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
  /** Resolves with the seconds to wait. */
  async function charge(address: string, cost: number): Promise<number> {
    let seconds = 0;
    for (const { key, times } of networksOf(address)) {
      const { consumedPoints, msBeforeNext } = await limiter.penalty(key, cost);
      if (consumedPoints > points * times) seconds = Math.max(seconds, Math.ceil(msBeforeNext / 1000));
    }
    return seconds;
  }
  return {
    charge,
    /** Throws AppError 429 if the limit is exceeded. */
    async count(address: string, cost: number): Promise<void> {
      const seconds = await charge(address, cost);
      if (seconds > 0) throw tooManyRequests(seconds);
    },
  };
}
