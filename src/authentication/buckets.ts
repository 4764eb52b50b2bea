/**
 * Chooses the buckets in which an attempt at an account counts. The choice depends on what is known about the browser
 * before the attempt is checked. A name without an account has buckets like any other name. docs/security/guessing.md
 * says what follows from the figures here.
 *
 * | browser | wrong passwords count for | wrong codes count for |
 * | --- | --- | --- |
 * | one with a session of the account, or one that the account knows | that browser | that browser, and its day |
 * | any other | account and network; network; account | account and network; the account's day; network |
 *
 * An IPv6 user has networks of three sizes, and each of them counts. All browsers that the account does not know
 * share its attempts. They share them in two buckets: one for networks that have failed at this account, with the
 * longer delay, and one for networks that have not. So somebody who fails often does not keep the owner out.
 */

import type { NetworksOf } from '../http/networks.ts';
import { keyedHash } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Bucket } from './failures.ts';
import type { KnownBrowsers } from './known_browsers.ts';

/** The browser that an attempt comes from. */
export interface Browser {
  address: string;
  /** Its User-Agent header, for the audit log. */
  agent: string;
  /** The cookie of a known browser. */
  known: string | undefined;
  /** The live session of this account in this browser. */
  sessionUid: string | undefined;
}

export interface Buckets {
  ofPassword(usernameKey: string, browser: Browser): Bucket[];
  ofCode(usernameKey: string, browser: Browser): CodeBuckets;
  /** Counts how often charges to these buckets were taken back without an answer, because two releases run. */
  ofUnreadable(charged: readonly Buffer[]): Bucket[];
}

export interface CodeBuckets {
  /** Whether the account knows the browser. */
  isKnown: boolean;
  /**
   * Cleared by a completed login. A known browser has one bucket here; any other has one for each size of its
   * network.
   */
  own: Bucket[];
  /** Wrong codes alone. Cleared when the day ends, and not by a right code. */
  day: Bucket;
  /**
   * Charged after a code has turned out wrong. If they were charged earlier, people in one office would wait for each
   * other.
   */
  networks: Bucket[];
}

export interface BucketDeps {
  key: Uint8Array;
  knownBrowsers: Pick<KnownBrowsers, 'known'>;
  networksOf: NetworksOf;
  limits: {
    /** Failures at one account, in one browser or from one network, after which the next attempt has to wait. */
    account: number;
    /** Failures in an hour from one address, at any accounts, after which the next attempt has to wait. */
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
  /** Rounded up to a minute: then the next attempt of a login writes the same expiry, and updates no index. */
  const dayFromNow = () => Math.ceil((now() + accountMs) / 60_000) * 60_000;

  /**
   * A bucket for one hour or day of the clock. It expires with that period, so the times of its failures need not be
   * known.
   */
  function periodic(what: string[], periodMs: number, bucket: Omit<Bucket, 'id' | 'forgottenAt'>): Bucket {
    const period = Math.floor(now() / periodMs);
    return { id: keyedHash(key, ...what, String(period)), forgottenAt: (period + 1) * periodMs, ...bucket };
  }

  /** Identifies this browser at the account. Undefined if the account does not know it. */
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

  /**
   * The buckets that all browsers unknown to an account share. One of the two counts this attempt: which one depends
   * on whether the widest network of this browser has failures at the account.
   */
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
    ofUnreadable: (charged) =>
      charged.map((id) => ({
        id: keyedHash(key, 'unreadable', id.toString('base64url')),
        ...{ free: limits.account, ...delays, forgottenAt: dayFromNow() },
      })),
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
