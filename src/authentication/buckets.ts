/**
 * In which buckets an attempt at an account counts, by what is known of who makes it before it is looked at. Names that nobody
 * has are buckets like any other. What follows from the figures here is in docs/security/guessing.md.
 *
 * | who | wrong passwords count for | wrong codes count for |
 * | --- | --- | --- |
 * | a browser with a session of the account, or one that it knows | that browser | that browser, and its day |
 * | any other | account and network; network; account | account and network; the account's day; network |
 *
 * A user of IPv6 has networks of three sizes, and each counts. All strangers share the account's attempts. Those from networks
 * that have not failed at it yet have most of them to themselves, so that whoever fails often does not keep the owner out.
 */

import type { NetworksOf } from '../http/networks.ts';
import { keyedHash } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Bucket } from './failures.ts';
import type { KnownBrowsers } from './known_browsers.ts';

/** The browser that an attempt comes from. */
export interface Browser {
  address: string;
  /** What it calls itself, for the audit log. */
  agent: string;
  /** The cookie of a known browser. */
  known: string | undefined;
  /** The live session that this browser has of the account which the attempt is at. */
  sessionUid: string | undefined;
}

export interface Buckets {
  ofPassword(usernameKey: string, browser: Browser): Bucket[];
  ofCode(usernameKey: string, browser: Browser): CodeBuckets;
}

export interface CodeBuckets {
  /** Whether the account knows the browser. */
  isKnown: boolean;
  /** What a completed login forgets: a browser has one, a network one for each of its sizes. */
  own: Bucket[];
  /** What only its end forgets. */
  day: Bucket;
  /** Where a wrong code is counted once it is known to be wrong: people of one office do not wait for one another. */
  networks: Bucket[];
}

export interface BucketDeps {
  key: Uint8Array;
  knownBrowsers: Pick<KnownBrowsers, 'known'>;
  networksOf: NetworksOf;
  limits: {
    /** Failures at an account that delay nothing, in one browser or from one network. */
    account: number;
    /** Failures in an hour that delay nothing, from one address, whichever accounts they are at. */
    address: number;
  };
  now: () => number;
}

const { firstDelay: firstDelaySeconds, longestDelay: longestDelaySeconds } = lifeSeconds;
const accountTimes = 10;
const codesTimes = 4;

const addressMs = lifeSeconds.addressFailures * 1000;
const accountMs = lifeSeconds.accountFailures * 1000;

export function createBuckets({ key, knownBrowsers, networksOf, limits, now }: BucketDeps): Buckets {
  const delays = { firstDelaySeconds, longestDelaySeconds };
  /** By the whole minute: the next attempt of a login then changes no index. */
  const dayFromNow = () => Math.ceil((now() + accountMs) / 60_000) * 60_000;

  /** Counts in whole hours or days, so that it forgets without knowing when the failures were. */
  function periodic(what: string[], periodMs: number, bucket: Omit<Bucket, 'id' | 'forgottenAt'>): Bucket {
    const period = Math.floor(now() / periodMs);
    return { id: keyedHash(key, ...what, String(period)), forgottenAt: (period + 1) * periodMs, ...bucket };
  }

  /** What tells this browser from those of strangers; undefined where the account does not know it. */
  function knownAs(usernameKey: string, { known, sessionUid }: Browser): [string, string] | undefined {
    if (sessionUid !== undefined) return ['session', sessionUid];
    const id = knownBrowsers.known(usernameKey, known);
    return id === undefined ? undefined : ['device', id];
  }

  function own(usernameKey: string, known: [string, string] | undefined, { address }: Browser): Bucket[] {
    const bucket = (what: string[], times: number, longest: number): Bucket => ({
      id: keyedHash(key, 'own', usernameKey, ...what),
      free: limits.account * times,
      firstDelaySeconds,
      longestDelaySeconds: longest,
      forgottenAt: dayFromNow(),
    });
    if (known) return [bucket(known, 1, longestDelaySeconds)];
    return networksOf(address).map(({ key, timesBySize }) =>
      bucket(['network', key], timesBySize, lifeSeconds.longestStrangersDelay),
    );
  }

  /** What all strangers at an account share, by whether this stranger's widest network has failed at it. */
  function shared(usernameKey: string, widest: Bucket | undefined): Bucket[] {
    if (!widest) return [];
    const share = (name: string, hasFailures: boolean, seconds: number): Bucket =>
      periodic([name, usernameKey], accountMs, {
        free: limits.account * accountTimes,
        firstDelaySeconds: seconds,
        longestDelaySeconds: seconds,
        onlyIf: { bucket: widest.id, hasFailures },
      });
    return [
      share('account', true, lifeSeconds.failedNetworksDelay),
      share('account from new networks', false, lifeSeconds.newNetworksDelay),
    ];
  }

  const networks = ({ address }: Browser): Bucket[] =>
    networksOf(address).map((network) =>
      periodic(['network', network.key], addressMs, { free: limits.address * network.times, ...delays }),
    );

  return {
    ofPassword(usernameKey, browser) {
      const known = knownAs(usernameKey, browser);
      const mine = own(usernameKey, known, browser);
      if (known) return mine;
      return [...mine, ...shared(usernameKey, mine.at(-1)), ...networks(browser)];
    },
    ofCode(usernameKey, browser) {
      const known = knownAs(usernameKey, browser);
      return {
        isKnown: known !== undefined,
        own: own(usernameKey, known, browser),
        day: periodic(['codes', usernameKey, ...(known ?? [])], accountMs, {
          free: limits.account * codesTimes,
          firstDelaySeconds: accountMs / 1000,
          longestDelaySeconds: accountMs / 1000,
        }),
        networks: known ? [] : networks(browser),
      };
    },
  };
}
