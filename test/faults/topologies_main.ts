/**
 * `node test/faults/topologies_main.ts [--seconds 60 | --minutes 10] [--seed 1] [--topology NAME]... [--json]` lets the
 * workload of the fault runs work on the topologies that operators have, and checks the guarantee with the same checker.
 * Without `--topology` all of them run in turn and share the time. The exit code is 1 if the guarantee was violated, or if
 * this machine lacks what all of them need.
 *
 * - `--clients 10`: the number of virtual clients.
 * - `--fault NAME`, more than once: instead of the time, these faults, one after another.
 */
import { parseArgs } from 'node:util';
import { installNativeGroup } from '../../src/opaque/native_group.ts';
import { createProgress } from '../bench/progress.ts';
import { buildServer } from '../support/built.ts';
import { carryOut, linesOf, timedRun } from './carry_out.ts';
import { deploy } from './deployment.ts';
import { createRandom } from './random.ts';
import type { Report } from './report.ts';
import { type LongestGaps, longestGaps } from './service_gaps.ts';
import { type Topology, topologies } from './topologies.ts';

export interface TopologyResult {
  topology: string;
  /** Why it was not run. */
  skipped?: string;
  report?: Report;
  gaps?: LongestGaps | undefined;
}

const { values: given } = parseArgs({
  options: {
    seconds: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string', default: '1' },
    clients: { type: 'string', default: '10' },
    topology: { type: 'string', multiple: true },
    fault: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
  },
});
const names = given.topology ?? Object.keys(topologies);
const unknown = names.find((name) => !topologies[name]);
if (unknown !== undefined)
  throw new Error(`--topology is one of ${Object.keys(topologies).join(', ')}, and not ${unknown}`);
const runnable = names.filter((name) => !topologies[name]?.missing()).length;
const [seed, clients] = [Number(given.seed), Number(given.clients)];
const seconds = Number(given.seconds ?? Number(given.minutes ?? 10) * 60) / Math.max(runnable, 1);

const progress = createProgress(process.stderr);
// The virtual clients' half of OPAQUE runs in this process: the slow arithmetic would make it late.
await Promise.all([installNativeGroup(), buildServer()]);
const howLong = given.fault ? given.fault.join(', ') : `${Math.round(seconds)} s`;
progress.say(`seed ${seed}, ${howLong} for each of ${runnable} topologies`);
const results: TopologyResult[] = [];
for (const name of names) results.push(await runOn(name, topologies[name] as Topology));
progress.doing('');
process.stdout.write(`${given.json ? JSON.stringify(results, null, 2) : tableOf(results).join('\n')}\n`);
const isSound = runnable > 0 && results.every(({ report }) => !report || violationsIn(report) === 0);
process.exit(isSound ? 0 : 1);

async function runOn(name: string, { what, start, missing }: Topology): Promise<TopologyResult> {
  const lacking = missing();
  if (lacking) {
    progress.say(`${name} is skipped: this machine lacks ${lacking}`);
    return { topology: name, skipped: lacking };
  }
  progress.doing(`${name}: starting`);
  const deployment = await deploy(start);
  progress.say(`${name}: ${what}; history in ${deployment.directory}/history.jsonl`);
  const run = timedRun(deployment, createRandom(seed), { clients, seconds, script: given.fault });
  const { report, violations } = await carryOut(deployment, seed, run, (text) =>
    progress.doing(`${name}: ${text}`),
  );
  const gaps = longestGaps(deployment.history.events());
  await deployment.stop(violations.length > 0);
  for (const line of linesOf(violations)) progress.say(line);
  if (violations.length > 0) progress.say(`the history is kept: ${deployment.directory}/history.jsonl`);
  return { topology: name, report, gaps };
}

function violationsIn({ violations }: Report): number {
  return Object.values(violations).reduce((sum, count) => sum + count, 0);
}

function tableOf(all: readonly TopologyResult[]): string[] {
  const columns = ['topology', 'requests', 'rotations', 'faults', 'lost', 'double'];
  const more = ['honest clients logged out', 'violations', 'longest time without service after a fault'];
  const total = (counts: Record<string, number>) => Object.values(counts).reduce((sum, one) => sum + one, 0);
  const rows = all.map(({ topology, report, gaps, skipped }) => {
    if (!report) return [topology, `skipped: ${skipped}`, ...columns.slice(2).map(() => ''), '', '', ''];
    const { requests, rotations, faults, lost, double, loggedOut } = report;
    const figures = [
      total(requests),
      rotations,
      total(faults),
      lost,
      double,
      loggedOut,
      violationsIn(report),
    ];
    return [topology, ...figures.map((figure) => figure.toLocaleString('en')), gapText(gaps)];
  });
  const lines = [[...columns, ...more], columns.concat(more).map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`);
}

function gapText(gaps: LongestGaps | undefined): string {
  if (!gaps) return 'no faults';
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const { longest, slowest } = gaps;
  return `${seconds(longest.ms)} (${longest.fault}); ${seconds(slowest.afterReturnMs)} after the storage was back (${slowest.fault})`;
}
