/**
 * Blocks of work at several subjects in turn, A-B-B-A: what else goes on at the machine, and what drifts, hits all of them.
 * From the blocks come each subject's figures and the ratio of every round.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { wasUnavailable } from './http.ts';
import type { Load } from './load.ts';
import { paused } from './pause.ts';
import { median, quantile, sum } from './statistics.ts';
import type { Subject } from './subjects/subject.ts';
import { minus, residentMb, type Usage } from './usage.ts';

/** One subject's work: what is made ready unmeasured, then what is measured. */
export type Block = (subject: Subject) => Promise<() => Promise<Load>>;

export interface Figures {
  name: string;
  /** Operations a second of the clock. */
  perSecond: number;
  /** Operations a second of the server's CPU: what one busy core does. */
  perCoreSecond: number;
  /** CPU milliseconds an operation, by part. */
  cpuMs: Usage;
  /** How much of its core the server used, 0 to 1. */
  busy: number;
  p50Ms: number;
  p99Ms: number;
  rssMb: number;
  failed: number;
  /** What the first failure said. */
  failure: string | undefined;
}

/** How many times the peer's operations per core second: the median of the rounds, the lowest and the highest. */
export interface Ratio {
  to: string;
  median: number;
  low: number;
  high: number;
  /** The same by the clock instead of the server's CPU. */
  byClock: number;
}

interface Measured {
  load: Load;
  used: Usage;
}

export interface RoundOptions {
  rounds: number;
  told: (text: string) => void;
}

/** Measures; the first subject is compared with each of the others. A block of each that is not counted warms up. */
export async function inTurns(
  subjects: Subject[],
  block: Block,
  { rounds, told }: RoundOptions,
): Promise<{ figures: Figures[]; ratios: Ratio[] }> {
  for (const subject of subjects) {
    told(`${subject.name}: warming up`);
    await measure(subject, block, told);
  }
  const all: Map<string, Measured>[][] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const halves: Map<string, Measured>[] = [];
    for (const order of [subjects, [...subjects].reverse()]) {
      const half = new Map<string, Measured>();
      for (const subject of order) {
        told(`${subject.name}: round ${round} of ${rounds}`);
        // Two subjects may be two apps of one server.
        const others = subjects.filter((other) => other.pid !== subject.pid);
        const measured = await paused(others, () => measure(subject, block, told));
        half.set(subject.name, measured);
      }
      halves.push(half);
    }
    all.push(halves);
  }
  const of = (name: string) => all.map((halves) => halves.flatMap((half) => half.get(name) ?? []));
  const [own, ...peers] = subjects;
  return {
    figures: subjects.map((subject) => figuresOf(subject, of(subject.name).flat())),
    ratios: own ? peers.map((peer) => ratioOf(peer.name, of(own.name), of(peer.name))) : [],
  };
}

const mostTries = 3;

/** One block. It is done anew where a 503 met it: something else had the machine. Rejects with what failed the last time. */
async function measure(subject: Subject, block: Block, told: RoundOptions['told']): Promise<Measured> {
  for (let tries = 1; ; tries += 1) {
    try {
      const work = await block(subject);
      const before = subject.usage();
      const load = await work();
      if (tries === mostTries || !wasUnavailable(load.failure))
        return { load, used: minus(subject.usage(), before) };
    } catch (error) {
      if (tries === mostTries || !wasUnavailable((error as Error).message)) throw error;
    }
    told(`${subject.name}: a request was answered 503; the block is done anew`);
    await sleep(1000);
  }
}

const done = (blocks: Measured[]) => sum(blocks.map(({ load }) => load.done));
const seconds = (blocks: Measured[]) => sum(blocks.map(({ load }) => load.seconds));
const cpu = (blocks: Measured[], part: keyof Usage) => sum(blocks.map(({ used }) => used[part]));

function figuresOf({ name, pid }: Subject, blocks: Measured[]): Figures {
  const latencies = blocks.flatMap(({ load }) => load.latencies);
  const ms = (part: keyof Usage) => (cpu(blocks, part) * 1000) / done(blocks);
  return {
    name,
    perSecond: median(blocks.map(({ load }) => load.done / load.seconds)),
    perCoreSecond: median(blocks.map(({ load, used }) => load.done / used.server)),
    cpuMs: { server: ms('server'), postgres: ms('postgres'), redis: ms('redis') },
    busy: cpu(blocks, 'server') / seconds(blocks),
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    rssMb: residentMb(pid),
    failed: sum(blocks.map(({ load }) => load.failed)),
    failure: blocks.find(({ load }) => load.failure)?.load.failure,
  };
}

function ratioOf(to: string, own: Measured[][], peer: Measured[][]): Ratio {
  const ratios = (rate: (blocks: Measured[]) => number) =>
    own.map((blocks, round) => rate(blocks) / rate(peer[round] ?? []));
  const perCore = ratios((blocks) => done(blocks) / cpu(blocks, 'server'));
  return {
    to,
    median: median(perCore),
    low: Math.min(...perCore),
    high: Math.max(...perCore),
    byClock: median(ratios((blocks) => done(blocks) / seconds(blocks))),
  };
}
