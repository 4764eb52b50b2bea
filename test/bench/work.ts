/** What a work is given and what it hands back. The works are in works/, their order in main.ts. */
import type { OpaqueClients } from './opaque_clients.ts';
import type { Options } from './options.ts';
import type { Figures, Ratio } from './rounds.ts';
import type { Stage } from './stage.ts';
import type { BetterAuth } from './subjects/better_auth.ts';
import type { Cypher } from './subjects/cypher.ts';
import type { Subject } from './subjects/subject.ts';

export interface Bench {
  options: Options;
  stage: Stage;
  opaque: OpaqueClients;
  cypher: Cypher;
  bare: Subject;
  betterAuth: BetterAuth;
  told: (text: string) => void;
}

export interface Goal {
  goal: string;
  /** What was measured, in words. */
  figure: string;
  met: boolean;
}

export interface Result {
  work: string;
  title: string;
  figures: Figures[];
  ratios: Ratio[];
  goals: Goal[];
  /** What a reader has to know to judge the figures. */
  notes: string[];
}

export interface Work {
  name: string;
  /** Without the peers, which are paused meanwhile. */
  alone?: boolean;
  run(bench: Bench): Promise<Omit<Result, 'work'>>;
}

export const two = (value: number): string => value.toFixed(2);
export const whole = (value: number): string => Math.round(value).toString();

/** A goal of the form "so many times the peer". */
export function ratioGoal(least: number, ratio: Ratio | undefined, whom: string): Goal {
  const { median = Number.NaN, low = Number.NaN, high = Number.NaN } = ratio ?? {};
  return {
    goal: `at least ${least} × ${whom}`,
    figure: `${two(median)} × (${two(low)} to ${two(high)})`,
    met: median >= least,
  };
}
