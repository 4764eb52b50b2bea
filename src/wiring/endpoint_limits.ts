/**
 * What stands before the library's endpoints, by their paths: attempts of an address, and wrong guesses of everybody. Pages of
 * our own have their limits where they are mounted. All paths have the one of http/request_limit.ts besides.
 */
import type { Context, Middleware } from 'koa';
import { createAddressLimit, createGuessLimit, limitPaths } from '../http/rate_limit.ts';
import { lifeSeconds } from '../lifetimes.ts';
import { createGuesses } from '../storage/guesses.ts';
import type { Ground } from './deps.ts';
import type { Foundations } from './foundations.ts';
import type { PageParts } from './page_parts.ts';
import type { WiredProvider } from './provider.ts';

/** How many sign-ins an address may begin for each that it may go on with. */
const beginningsPerAttempt = 10;
/**
 * A device's code is one of 20⁸ = 2.56 × 10¹⁰ and lives for ten minutes. In that time all strangers together have 3,000
 * wrong guesses and what arrives while those are being counted: they meet a given code once in millions of lives of it. Each person who is signed in has ten more; to
 * guess as often as all strangers takes 300 accounts, each made with a second factor under the limit of its address.
 */
const userCodeGuesses = {
  perPerson: { guesses: 10, seconds: lifeSeconds.deviceCode },
  allStrangers: { guesses: 300, seconds: 60 },
};

export function wireEndpointLimits(
  { config, cache, database, now }: Ground,
  { networksOf }: Foundations,
  { addressLimit, makingLimit }: PageParts,
  { signedIn }: WiredProvider,
): Middleware {
  const limits = { cache, networksOf };
  const perMinute = config.LIMIT_ADDRESS_PER_MINUTE;
  const personOf = async (ctx: Context) => (await signedIn(ctx))?.account.id;
  // For what anybody may have kept here by an anonymous request. People of one office begin many, a flood from one address is
  // stopped.
  const beginnings = createAddressLimit(limits, { what: 'begun', points: beginningsPerAttempt * perMinute });
  return limitPaths({
    any: {
      '/auth': [beginnings],
      '/request': [beginnings],
      '/device/auth': [beginnings],
      '/backchannel': [beginnings],
    },
    posts: {
      '/device': [
        createAddressLimit(limits, { what: 'user code', points: perMinute }),
        createGuessLimit(createGuesses(database, now), 'user codes', userCodeGuesses, personOf),
      ],
      '/reg': [addressLimit, makingLimit],
    },
  });
}
