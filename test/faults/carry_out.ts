/** One run, from the first client to the judgement of its history. */
import { setTimeout as sleep } from 'node:timers/promises';
import { audit } from './audit.ts';
import { recoveryMs } from './check_served.ts';
import { check, type Violation } from './checker.ts';
import { readFacts } from './database_facts.ts';
import type { Deployment } from './deployment.ts';
import { createInjector, type Injector } from './faults.ts';
import type { Event } from './history.ts';
import { startProbes } from './probes.ts';
import { until } from './processes.ts';
import type { Random } from './random.ts';
import { type Report, reportOf } from './report.ts';
import { createWorkload, type Workload } from './workload.ts';

export interface Run {
  workload: Workload;
  injector: Injector;
  progress(): string;
}

/** Lets the clients work under faults until the run is over, tries everything once more, and checks the history. */
export async function carryOut(
  deployment: Deployment,
  seed: number,
  run: Run,
  doing: (progress: string) => void,
): Promise<{ report: Report; violations: Violation[] }> {
  const { history, storage } = deployment;
  const begun = history.now();
  const stopProbes = startProbes(deployment);
  const progress = setInterval(() => doing(run.progress()), 1000);
  await Promise.all([run.workload.run(), run.injector.run()]);
  clearInterval(progress);
  await sleep(2500);
  await audit(run.workload.actors);
  stopProbes();
  await sleep(500);

  const events = history.events();
  const violations = check(events, await readFacts(storage));
  const report = reportOf(
    { seed, seconds: Math.round((history.now() - begun) / 1000) },
    events,
    { operations: run.workload.counts, faults: run.injector.counts },
    violations,
  );
  return { report, violations };
}

const isRotation = (event: Event): boolean =>
  event.type === 'call' && event.op === 'refresh' && event.succeeded && event.yields !== undefined;

interface RunOptions {
  clients: number;
  seconds: number;
  /** These faults instead, one after another, until the last one is over. */
  script?: readonly string[] | undefined;
  /** The faults to choose from; all of them unless told. */
  only?: readonly string[] | undefined;
}

/** The whole workload under faults of the deployment, for so long. */
export function timedRun(
  deployment: Deployment,
  random: Random,
  { clients, seconds, script, only }: RunOptions,
): Run {
  const { history } = deployment;
  const begun = history.now();
  let isThrough = false;
  const over = () => (script ? isThrough : history.now() - begun > seconds * 1000);
  const workload = createWorkload(deployment, random.fork(1), clients, over);
  const schedule = {
    pauseMs: [1000, 3500] as [number, number],
    over,
    ...(script && { script }),
    ...(only && { only }),
  };
  const injector = createInjector(deployment, random.fork(2), schedule);
  const sum = (numbers: number[]) => numbers.reduce((total, each) => total + each, 0);
  /** Resolves when a token has been rotated that an app asked for after this time. */
  const rotatedSince = (at: number) =>
    until('a rotation', 300_000, async () => {
      if (!history.events().some((event) => isRotation(event) && event.at >= at))
        throw new Error('no app has refreshed');
    });
  const injectAll = async () => {
    // On a busy machine nobody may have signed in yet, and a fault that nobody meets shows nothing.
    if (script) await rotatedSince(begun);
    await injector.run();
    await sleep(recoveryMs);
    if (script) await rotatedSince(history.now());
    isThrough = true;
  };
  return {
    workload,
    injector: { counts: injector.counts, run: injectAll },
    progress() {
      const done = sum([...workload.counts.values()].map((count) => count.done + count.interrupted));
      const faults = sum([...injector.counts.values()]);
      return `${Math.round((history.now() - begun) / 1000)} s: ${done} operations, ${faults} faults`;
    },
  };
}

/** What is wrong, with the end of the evidence for each. */
export function linesOf(violations: readonly Violation[]): string[] {
  return violations
    .slice(0, 20)
    .flatMap(({ point, rule, subject, evidence }) => [
      `VIOLATION of point ${point}: ${rule}: ${subject}`,
      ...evidence.slice(-6).map((event) => `    ${JSON.stringify(event)}`),
    ]);
}
