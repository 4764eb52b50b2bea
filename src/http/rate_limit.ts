/**
 * Attempts per client address, counted in Redis where there is one, so that a fleet shares the count, and in this
 * process otherwise or while Redis is away: never without a limit.
 */
import ipaddr from 'ipaddr.js';
import type { Middleware } from 'koa';
import { RateLimiterMemory, RateLimiterRedis, type RateLimiterRes } from 'rate-limiter-flexible';
import { tooManyRequests } from '../lib/errors.ts';
import type { Cache } from '../storage/cache.ts';

/** At most `perMinute` requests a minute and address through the returned middleware. Answers 429 past that. */
export function createAddressLimit(cache: Cache, perMinute: number): Middleware {
  const limits = { points: perMinute, duration: 60, keyPrefix: 'limit:address' };
  const memory = new RateLimiterMemory(limits);
  const shared =
    cache.redis && new RateLimiterRedis({ ...limits, storeClient: cache.redis, insuranceLimiter: memory });
  return async (ctx, next) => {
    const limiter = shared && cache.state() === 'ok' ? shared : memory;
    const result = await limiter
      .consume(addressKey(ctx.ip))
      .catch((rejection: RateLimiterRes | Error) => rejection);
    if (result instanceof Error) throw result;
    const resetSeconds = Math.ceil(result.msBeforeNext / 1000);
    // https://www.ietf.org/archive/id/draft-ietf-httpapi-ratelimit-headers-10.html
    ctx.set('RateLimit-Policy', `"address";q=${perMinute};w=60`);
    ctx.set('RateLimit', `"address";r=${result.remainingPoints};t=${resetSeconds}`);
    if (result.consumedPoints > perMinute) throw tooManyRequests(resetSeconds);
    await next();
  };
}

/** An IPv6 user holds a whole /64: its addresses count as one. Written out in full, for `::` may stand for any part. */
function addressKey(ip: string): string {
  if (!ip.includes(':')) return ip;
  return ipaddr.parse(ip).toNormalizedString().split(':').slice(0, 4).join(':');
}
