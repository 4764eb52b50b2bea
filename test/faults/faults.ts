/** The faults that a run injects while the workload runs: one table, and a schedule that follows from the seed. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deployment } from './deployment.ts';
import type { Target } from './history.ts';
import { type Random, weighted } from './random.ts';

type Kind = 'postgres' | 'redis' | 'provider' | 'clock' | 'keys';

interface FaultKind {
  weight: number;
  target: Kind;
  /** Does it and brings the target back; resolves when the target answers again. */
  inject(deployment: Deployment, random: Random, provider: number): Promise<void>;
}

const aWhile = (random: Random, least: number, most: number) => sleep(random.int(least, most));
const rotated = [
  'token access',
  'token refresh',
  'token session',
  'token step',
  'jwk RS256',
  'cookies',
  'opaque',
];
/** Far beyond the leeway: machines without a time server. */
const shiftMs: [least: number, most: number] = [30_000, 300_000];

export const faultKinds = {
  'kill postgres': {
    weight: 4,
    target: 'postgres',
    async inject({ postgres }, random) {
      postgres.kill();
      await aWhile(random, 0, 1500);
      await postgres.restart();
    },
  },
  'pause postgres': {
    weight: 3,
    target: 'postgres',
    async inject({ postgres }, random) {
      postgres.pause();
      await aWhile(random, 1000, 3000);
      await postgres.resume();
    },
  },
  'cut postgres connections': {
    weight: 3,
    target: 'postgres',
    inject: ({ postgres }) => postgres.cutConnections(),
  },
  'kill redis': {
    weight: 3,
    target: 'redis',
    async inject({ redis }, random) {
      redis.kill();
      await aWhile(random, 0, 2500);
      await redis.restart({ fromDump: false });
    },
  },
  'pause redis': {
    weight: 3,
    target: 'redis',
    async inject({ redis }, random) {
      redis.pause();
      await aWhile(random, 1000, 3000);
      await redis.resume();
    },
  },
  'flush redis': { weight: 3, target: 'redis', inject: ({ redis }) => redis.flush() },
  'cut redis connections': { weight: 2, target: 'redis', inject: ({ redis }) => redis.cutConnections() },
  'restore redis from an older dump': {
    weight: 3,
    target: 'redis',
    async inject({ redis }, random) {
      await redis.save();
      await aWhile(random, 500, 3000);
      redis.kill();
      await aWhile(random, 0, 500);
      await redis.restart({ fromDump: true });
    },
  },
  'fail redis over to a replica that is behind': {
    weight: 2,
    target: 'redis',
    async inject({ redis }, random) {
      await redis.leaveStandbyBehind();
      await aWhile(random, 500, 3000);
      await redis.failOver();
    },
  },
  'kill provider': {
    weight: 5,
    target: 'provider',
    async inject({ providers }, _random, number) {
      providers[number]?.kill();
      await providers[number]?.restarted();
    },
  },
  'pause provider': {
    weight: 3,
    target: 'provider',
    async inject({ providers }, random, number) {
      providers[number]?.pause();
      await aWhile(random, 500, 3000);
      await providers[number]?.resume();
    },
  },
  'shift a clock': {
    weight: 3,
    target: 'clock',
    async inject({ providers }, random, number) {
      providers[number]?.shiftClock(random.int(...shiftMs) * (random.chance(0.5) ? 1 : -1));
    },
  },
  'rotate keys': {
    weight: 2,
    target: 'keys',
    inject: async ({ cypher }, random) => void (await cypher('key', 'rotate', random.pick(rotated))),
  },
} satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof faultKinds;

export interface Injector {
  counts: Map<string, number>;
  /** Injects faults until the run is over; resolves when the last one is. */
  run(): Promise<void>;
}

export interface Schedule {
  /** The faults to choose from; all of them unless told. */
  only?: FaultName[];
  /** Between the end of one fault and the next. */
  pauseMs: [least: number, most: number];
  over: () => boolean;
}

/** One fault after another, a quarter of them with one of another kind at the same time. */
export function createInjector(deployment: Deployment, random: Random, schedule: Schedule): Injector {
  const { history, providers } = deployment;
  const counts = new Map<string, number>();
  const names = schedule.only ?? (Object.keys(faultKinds) as FaultName[]);
  const weights = Object.fromEntries(names.map((name) => [name, faultKinds[name].weight]));

  async function inject(name: FaultName): Promise<void> {
    const kind: FaultKind = faultKinds[name];
    const number = random.int(0, providers.length - 1);
    counts.set(name, (counts.get(name) ?? 0) + 1);
    const at = history.now();
    await kind.inject(deployment, random, number);
    // A clock that is off, or a key that another one follows, may not be noticed from outside: it excuses no answer.
    if (kind.target === 'clock' || kind.target === 'keys') return;
    const target = kind.target === 'provider' ? (`provider ${number}` as Target) : kind.target;
    history.add({ type: 'fault', name, target, at, until: history.now() });
  }
  return {
    counts,
    async run() {
      // No two machines' clocks are the same, here less than ever; but first let somebody arrive who can notice.
      await sleep(3000);
      for (const number of providers.keys())
        await faultKinds['shift a clock'].inject(deployment, random, number);
      while (!schedule.over()) {
        await sleep(random.int(...schedule.pauseMs));
        const first = weighted(random, weights) as FaultName;
        const second = weighted(random, weights) as FaultName;
        const both = random.chance(0.25) && faultKinds[first].target !== faultKinds[second].target;
        await Promise.all([inject(first), ...(both ? [inject(second)] : [])]);
      }
      for (const provider of providers) provider.shiftClock(0);
    },
  };
}
