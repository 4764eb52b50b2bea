/**
 * Attempts per client address, counted in Redis where there is one, so that a fleet shares the count, and in this
 * process otherwise or while Redis is away: never without a limit. These counts protect the service alone, for whoever can
 * write to Redis can take them back: what protects an account or a secret is counted in PostgreSQL.
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
  /** Limits of another name count by themselves. */
  what: string;
  /** How much one address may do in `seconds`. A network of several may do more: see networks.ts. */
  points: number;
  seconds?: number;
}

/** Refuses what is more than the limit. Answers 429, and says in each answer how much is left. */
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

/** Counts what an address causes. Returns the refusal of what is more than the limit. */
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
    // Of an address without room the network that is fullest counts.
    const [first, ...wider] = await Promise.all(counted);
    const tightest = [first, ...wider].find((network) => network?.over) ?? first;
    if (!tightest) throw new Error('an address is in no network');
    return { ...tightest, refusal: tightest.over ? tooManyRequests(tightest.resetSeconds) : undefined };
  };
}

/** Limits by the paths that they are for, in small letters: of all requests, and of posts alone. The first one is outermost. */
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

/** Pages of our own by the first part of their path. All other requests are for what comes after it. */
export function byFirstPart(rooms: Record<string, Middleware | undefined>): Middleware {
  const byName = new Map(Object.entries(rooms));
  return (ctx, next) => {
    const [, first = ''] = pathOf(ctx).split('/', 2);
    const room = byName.get(first);
    return room ? room(ctx, next) : next();
  };
}

/** The path as routers compare it: they take `/Auth/` for `/auth`. */
export const pathOf = ({ path }: Context): string => path.toLowerCase().replace(/\/$/, '');

/** How many wrong guesses are heard in a time. */
export interface GuessBudget {
  guesses: number;
  seconds: number;
}

/**
 * Bounds wrong guesses, from however many addresses. People who are signed in have a budget each: what strangers use up
 * keeps nobody out who signs in first, which is what the answer says. A guess is wrong where what follows has
 * called `noteWrongGuess`; past a budget each one is answered 429, the right one too. `personOf`: who is signed in.
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

/** Says that this request was a wrong guess. */
export function noteWrongGuess({ state }: { state: GuessState }): void {
  state.wrongGuess = true;
}

/** Whether `key` was asked about within the last `seconds`; asking counts. */
export function createPace(cache: Cache, seconds: number, what: string): (key: string) => Promise<boolean> {
  const limiter = createLimiter(cache, what, 1, seconds);
  return async (key) => (await limiter.consume(key)).consumedPoints > 1;
}

/**
 * `points` in `seconds`, counted in Redis, or in this process while Redis is away. A count that fails there tells the cache,
 * so that the requests after it do not wait for Redis either: most anonymous ones ask it for nothing else.
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

/** The library rejects with the count itself where that is over the limit. */
function whereOverLimit(rejection: RateLimiterRes | Error): RateLimiterRes {
  if (rejection instanceof Error) throw rejection;
  return rejection;
}
