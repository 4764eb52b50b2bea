/**
 * Limits attempts per client address. They are counted in Redis if there is one, so that all instances share the
 * counts, and otherwise (or while Redis is away) in this process: there is always a limit. These limits protect only
 * the service, because whoever can write to Redis can reset them. What protects an account or a secret is counted in
 * PostgreSQL.
 */
import type { Context, Middleware } from 'koa';
import { RateLimiterMemory, RateLimiterRedis, type RateLimiterRes } from 'rate-limiter-flexible';
import { type AppError, signInFirst, tooManyRequests } from '../lib/errors.ts';
import type { Cache } from '../storage/cache.ts';
import type { Guesses } from '../storage/guesses.ts';
import type { NetworksOf } from './networks.ts';

export interface AddressLimitDeps {
  cache: Cache;
  networksOf: NetworksOf;
}

export interface AddressLimit {
  /** The name of the limit. Limits with different names count separately. */
  what: string;
  /** How much one address may do in `seconds`. A larger network may do more. */
  points: number;
  seconds?: number;
}

/** Refuses what exceeds the limit, with 429. Every answer says how much is left. */
export function createAddressLimit(deps: AddressLimitDeps, limit: AddressLimit): Middleware {
  const count = createCount(deps, limit);
  const { seconds = 60 } = limit;
  return async (ctx, next) => {
    const { allowed, left, resetSeconds, refusal } = await count(ctx.ip);
    // https://www.ietf.org/archive/id/draft-ietf-httpapi-ratelimit-headers-10.html
    ctx.set('RateLimit-Policy', `"address";q=${allowed};w=${seconds}`);
    ctx.set('RateLimit', `"address";r=${left};t=${resetSeconds}`);
    if (refusal) throw refusal;
    await next();
  };
}

/** Counts what an address causes. Returns the error to throw if that exceeds the limit. */
export function createAddressCount(
  deps: AddressLimitDeps,
  limit: AddressLimit,
): (address: string) => Promise<AppError | undefined> {
  const count = createCount(deps, limit);
  return async (address) => (await count(address)).refusal;
}

function createCount({ cache, networksOf }: AddressLimitDeps, { what, points, seconds = 60 }: AddressLimit) {
  const limiter = createLimiter(cache, what, points, seconds);
  return async (address: string) => {
    const counted = networksOf(address).map(async ({ key, times }) => {
      const { consumedPoints, msBeforeNext } = await limiter.consume(key);
      const allowed = points * times;
      return {
        allowed,
        left: Math.max(0, allowed - consumedPoints),
        over: consumedPoints > allowed,
        resetSeconds: Math.ceil(msBeforeNext / 1000),
      };
    });
    // If any of the address's networks is over its limit, that one decides.
    const [first, ...wider] = await Promise.all(counted);
    const tightest = [first, ...wider].find((network) => network?.over) ?? first;
    if (!tightest) throw new Error('an address is in no network');
    return { ...tightest, refusal: tightest.over ? tooManyRequests(tightest.resetSeconds) : undefined };
  };
}

/**
 * Applies limits by path, in lower case: `any` to all requests, `posts` to POST requests whose path is not in `any`.
 * The first limit of a path is the outermost.
 */
export function limitPaths({
  any,
  posts,
}: Record<'any' | 'posts', Record<string, readonly Middleware[]>>): Middleware {
  const [ofAny, ofPosts] = [any, posts].map((table) => new Map(Object.entries(table)));
  return (ctx, next) => {
    const path = pathOf(ctx);
    const limits = ofAny?.get(path) ?? (ctx.method === 'POST' ? ofPosts?.get(path) : undefined) ?? [];
    return limits.reduceRight<() => Promise<unknown>>((inner, limit) => () => limit(ctx, inner), next)();
  };
}

/** Routes our own pages by the first part of the path. All other requests go on to the next middleware. */
export function byFirstPart(rooms: Record<string, Middleware | undefined>): Middleware {
  const byName = new Map(Object.entries(rooms));
  return (ctx, next) => {
    const [, first = ''] = pathOf(ctx).split('/', 2);
    const room = byName.get(first);
    return room ? room(ctx, next) : next();
  };
}

/** The path as routers compare it: they treat `/Auth/` like `/auth`. */
export const pathOf = ({ path }: Context): string => path.toLowerCase().replace(/\/$/, '');

/** How many wrong guesses are allowed in a time. */
export interface GuessBudget {
  guesses: number;
  seconds: number;
}

/**
 * Bounds wrong guesses from any number of addresses together. Each person who is signed in has a budget of their own.
 * So strangers who use up theirs block nobody who signs in first, and the answer says that. A guess counts as wrong
 * if a later handler calls `noteWrongGuess`. Past the budget every guess is answered 429, a right one too.
 * `personOf`: the account that is signed in.
 */
export function createGuessLimit(
  guesses: Guesses,
  what: string,
  budgets: { perPerson: GuessBudget; allStrangers: GuessBudget },
  personOf: (ctx: Context) => Promise<string | undefined>,
): Middleware {
  return async (ctx, next) => {
    const person = await personOf(ctx);
    const budget = person === undefined ? budgets.allStrangers : budgets.perPerson;
    const bucket = person === undefined ? what : `${what} of ${person}`;
    const known = await guesses.of(bucket);
    if (known && known.guesses >= budget.guesses) {
      throw person === undefined ? signInFirst(known.secondsLeft) : tooManyRequests(known.secondsLeft);
    }
    await next();
    if ((ctx.state as GuessState).wrongGuess) await guesses.count(bucket, budget.seconds);
  };
}

interface GuessState {
  wrongGuess?: boolean;
}

/** Marks this request as a wrong guess. */
export function noteWrongGuess({ state }: { state: GuessState }): void {
  state.wrongGuess = true;
}

/** Returns whether `key` was asked about within the last `seconds`. Each call counts. */
export function createPace(cache: Cache, seconds: number, what: string): (key: string) => Promise<boolean> {
  const limiter = createLimiter(cache, what, 1, seconds);
  return async (key) => (await limiter.consume(key)).consumedPoints > 1;
}

/**
 * Counts `points` in `seconds` in Redis, or in this process while Redis is away. A count that fails is reported to
 * the cache, so that the next requests do not wait for Redis either: most anonymous requests use it for nothing else.
 */
function createLimiter({ redis, attempt }: Cache, what: string, points: number, seconds: number) {
  const limits = { points, duration: seconds, keyPrefix: `limit:${what}` };
  const memory = new RateLimiterMemory(limits);
  const shared = redis && new RateLimiterRedis({ ...limits, storeClient: redis });
  const count = <T>(counted: (limiter: RateLimiterMemory | RateLimiterRedis) => Promise<T>): Promise<T> =>
    attempt(
      () => counted(shared ?? memory),
      () => counted(memory),
    );
  return {
    consume: (key: string) => count((limiter) => limiter.consume(key).catch(whereOverLimit)),
  };
}

/** The library rejects with the count itself if that is over the limit. */
function whereOverLimit(rejection: RateLimiterRes | Error): RateLimiterRes {
  if (rejection instanceof Error) throw rejection;
  return rejection;
}
