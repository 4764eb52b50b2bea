/**
 * The faults that a run injects while the workload runs: those of the instances, which every run has, those of the
 * storage, and a schedule that follows from the seed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deployment } from './deployment.ts';
import type { Target } from './history.ts';
import { type Random, weighted } from './random.ts';
import { aWhile, type FaultKind } from './storage.ts';

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

const faultsOfProviders = ({ providers, cypher }: Deployment): Record<string, FaultKind> => ({
  'kill provider': {
    weight: 5,
    target: 'provider',
    async inject(_random, number) {
      providers[number]?.kill();
      await providers[number]?.restarted();
    },
  },
  'pause provider': {
    weight: 3,
    target: 'provider',
    async inject(random, number) {
      providers[number]?.pause();
      await aWhile(random, 500, 3000);
      await providers[number]?.resume();
    },
  },
  'shift a clock': {
    weight: 3,
    target: 'clock',
    async inject(random, number) {
      providers[number]?.shiftClock(random.int(...shiftMs) * (random.chance(0.5) ? 1 : -1));
    },
  },
  'rotate keys': {
    weight: 2,
    target: 'keys',
    inject: async (random) => void (await cypher('key', 'rotate', random.pick(rotated))),
  },
});

export interface Injector {
  counts: Map<string, number>;
  /** Injects faults until the run is over; resolves when the last one is. */
  run(): Promise<void>;
}

export interface Schedule {
  /** The faults to choose from, by name; all of them unless told. */
  only?: readonly string[];
  /** These instead, one after another. Then the injector is through, whether or not the run is over. */
  script?: readonly string[];
  /** Between the end of one fault and the next. */
  pauseMs: [least: number, most: number];
  over: () => boolean;
}

/** One fault after another, a quarter of them with one of another kind at the same time. */
export function createInjector(deployment: Deployment, random: Random, schedule: Schedule): Injector {
  const { history, providers, storage } = deployment;
  const counts = new Map<string, number>();
  const kinds = { ...storage.faults, ...faultsOfProviders(deployment) };
  const names = schedule.only ?? Object.keys(kinds);
  const weights = Object.fromEntries(names.map((name) => [name, kindOf(name).weight]));

  function kindOf(name: string): FaultKind {
    const kind = kinds[name];
    if (!kind) throw new Error(`no fault is called ${name}: ${Object.keys(kinds).join(', ')}`);
    return kind;
  }
  async function inject(name: string): Promise<void> {
    const kind = kindOf(name);
    const number = random.int(0, providers.length - 1);
    counts.set(name, (counts.get(name) ?? 0) + 1);
    const at = history.now();
    const injected = (await kind.inject(random, number)) ?? {};
    // A clock that is off, or a key that another one follows, may not be noticed from outside: it excuses no answer.
    if (kind.target === 'clock' || kind.target === 'keys') return;
    const target = kind.target === 'provider' ? (`provider ${number}` as Target) : kind.target;
    history.add({ type: 'fault', name, target, at, until: history.now(), ...injected });
  }
  return {
    counts,
    async run() {
      // No two machines' clocks are the same, here less than ever; but first let somebody arrive who can notice.
      await sleep(3000);
      for (const number of providers.keys()) await kindOf('shift a clock').inject(random, number);
      for (const name of schedule.script ?? []) {
        await sleep(random.int(...schedule.pauseMs));
        await inject(name);
      }
      while (!schedule.script && !schedule.over()) {
        await sleep(random.int(...schedule.pauseMs));
        const first = weighted(random, weights);
        const second = weighted(random, weights);
        const both = random.chance(0.25) && kindOf(first).target !== kindOf(second).target;
        await Promise.all([inject(first), ...(both ? [inject(second)] : [])]);
      }
      for (const provider of providers) provider.shiftClock(0);
    },
  };
}
