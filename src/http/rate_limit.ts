/**
 * Limits attempts per client address, counted for all instances together: in Redis if there is one, otherwise (and
 * while Redis is away) in PostgreSQL. Only if neither answers does each instance count for itself: there is always a
 * limit. These limits protect only the service, because whoever can write to Redis can reset them. What protects an
 * account or a secret is always counted in PostgreSQL.
 */
import type { Context, Middleware } from 'koa';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { type AppError, signInFirst, tooManyRequests } from '../lib/errors.ts';
import type { Cache } from '../storage/cache.ts';
import type { Count, Counts } from '../storage/counts.ts';
import type { NetworksOf } from './networks.ts';

export interface CountDeps {
  cache: Pick<Cache, 'count'>;
  counts: Pick<Counts, 'count'>;
}

export interface AddressLimitDeps extends CountDeps {
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

function createCount(deps: AddressLimitDeps, { what, points, seconds = 60 }: AddressLimit) {
  const countOne = createCounter(deps, what, seconds);
  return async (address: string) => {
    const counted = deps.networksOf(address).map(async ({ key, times }) => {
      const { count, secondsLeft } = await countOne(key);
      const allowed = points * times;
      return {
        allowed,
        left: Math.max(0, allowed - count),
        over: count > allowed,
        resetSeconds: secondsLeft,
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
export function pathOf({ path }: Context): string {
  const lower = path.toLowerCase();
  return lower.endsWith('/') ? lower.slice(0, -1) : lower;
}

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
  counts: Counts,
  what: string,
  budgets: { perPerson: GuessBudget; allStrangers: GuessBudget },
  personOf: (ctx: Context) => Promise<string | undefined>,
): Middleware {
  return async (ctx, next) => {
    const person = await personOf(ctx);
    const budget = person === undefined ? budgets.allStrangers : budgets.perPerson;
    const bucket = person === undefined ? what : `${what} of ${person}`;
    const known = await counts.of(bucket);
    if (known && known.count >= budget.guesses) {
      throw person === undefined ? signInFirst(known.secondsLeft) : tooManyRequests(known.secondsLeft);
    }
    await next();
    if ((ctx.state as GuessState).wrongGuess) await counts.count(bucket, budget.seconds);
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
export function createPace(
  deps: CountDeps,
  seconds: number,
  what: string,
): (key: string) => Promise<boolean> {
  const countOne = createCounter(deps, what, seconds);
  return async (key) => (await countOne(key)).count > 1;
}

/** Counts one attempt of `key` in the current window of `seconds`. It never rejects. */
function createCounter({ cache, counts }: CountDeps, what: string, seconds: number) {
  const inThisProcess = new RateLimiterMemory({ points: 1, duration: seconds });
  return async (key: string): Promise<Count> => {
    const bucket = `limit:${what}:${key}`;
    const inRedis = await cache.count(bucket, seconds);
    if (inRedis) return inRedis;
    // Counted here too: where an overloaded PostgreSQL fails to count one of many, that one is not the first.
    const { consumedPoints, msBeforeNext } = await inThisProcess.penalty(key);
    const shared = await counts.count(bucket, seconds).catch(nothing);
    return shared ?? { count: consumedPoints, secondsLeft: Math.ceil(msBeforeNext / 1000) };
  };
}

const nothing = () => undefined;
