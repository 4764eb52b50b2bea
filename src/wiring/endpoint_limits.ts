/**
 * The limits of the library's endpoints, by path: attempts of one address, and wrong guesses of everybody together.
 * Our own pages have their limits where they are mounted. In addition, every path has the general limit of an
 * address.
 */
import type { Context, Middleware } from 'koa';
import { createAddressLimit, createGuessLimit, limitPaths } from '../http/rate_limit.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Ground } from './deps.ts';
import type { Foundations } from './foundations.ts';
import type { PageParts } from './page_parts.ts';
import type { WiredProvider } from './provider.ts';

/** How many sign-ins an address may begin, for each attempt at a sign-in that it is allowed. */
const beginningsPerAttempt = 10;
/**
 * A device's code is one of 20⁸ = 2.56 × 10¹⁰, and is valid for ten minutes. In that time all strangers together have
 * 3,000 wrong guesses, and those that arrive while these are being counted: they hit a given code once in millions of
 * its lifetimes. Each person who is signed in has ten more. To guess as often as all strangers, an attacker needs 300
 * accounts, each made with a second factor under the limit of its address.
 */
const userCodeGuesses = {
  perPerson: { guesses: 10, seconds: lifeSeconds.deviceCode },
  allStrangers: { guesses: 300, seconds: 60 },
};

export function wireEndpointLimits(
  { config, cache }: Ground,
  { counts, networksOf }: Foundations,
  { addressLimit, makingLimit }: PageParts,
  { signedIn }: WiredProvider,
): Middleware {
  const limits = { cache, counts, networksOf };
  const perMinute = config.LIMIT_ADDRESS_PER_MINUTE;
  const personOf = async (ctx: Context) => (await signedIn(ctx))?.account.id;
  // An anonymous request to these paths makes the server store something. The limit allows for an office where many
  // people sign in, and stops a flood from one address.
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
        createGuessLimit(counts, 'user codes', userCodeGuesses, personOf),
      ],
      '/reg': [addressLimit, makingLimit],
    },
  });
}
