/**
 * `node test/faults/main.ts [--seconds 60 | --minutes 10] [--seed 1] [--json]` tests the guarantee. It runs two
 * provider processes on a real PostgreSQL and Redis, lets virtual clients work while faults are injected, and checks
 * the history. The exit code is 1 if the guarantee was violated.
 *
 * - `--clients 10`: the number of virtual clients.
 * - `--rotations 10000`: instead, counts rotations while processes are killed with -9.
 * - `--fuzz 100000`: instead, sends so many invalid requests. None of them may be answered with 5xx.
 * - `--broken NAME`: runs a broken build, in which violations must be found.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { installNativeGroup } from '../../src/opaque/native_group.ts';
import { buildServer } from '../support/built.ts';
import { audit } from './audit.ts';
import { check } from './checker.ts';
import { readFacts } from './database_facts.ts';
import { deploy } from './deployment.ts';
import { createInjector } from './faults.ts';
import { fuzzRun } from './fuzz.ts';
import { mutations } from './mutations.ts';
import { startProbes } from './probes.ts';
import { createRandom } from './random.ts';
import { asText, reportOf } from './report.ts';
import { rotationsRun } from './rotations.ts';
import { createWorkload } from './workload.ts';

const { values: given } = parseArgs({
  options: {
    seconds: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string', default: '1' },
    clients: { type: 'string', default: '10' },
    rotations: { type: 'string' },
    fuzz: { type: 'string' },
    broken: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const seed = Number(given.seed);
const clients = Number(given.clients);
const seconds = Number(given.seconds ?? Number(given.minutes ?? 1) * 60);
if (given.broken && !mutations[given.broken])
  throw new Error(`--broken is one of ${Object.keys(mutations).join(', ')}`);

const say = (line: string) => process.stderr.write(`${line}\n`);
// The virtual clients' half of OPAQUE runs in this process: the slow arithmetic would make it late.
await Promise.all([installNativeGroup(), buildServer()]);
const deployment = await deploy(given.broken);
const { history } = deployment;
say(`two providers on PostgreSQL and Redis; history in ${deployment.directory}/history.jsonl`);

const random = createRandom(seed);
if (given.fuzz) await fuzzAlone(Number(given.fuzz));
const begun = history.now();
const run = given.rotations
  ? rotationsRun(deployment, random, clients, Number(given.rotations))
  : timedRun(seconds * 1000);
const stopProbes = startProbes(deployment);
const progress = setInterval(() => say(run.progress()), 5000);
await Promise.all([run.workload.run(), run.injector.run()]);
clearInterval(progress);
await sleep(2500);
await audit(run.workload.actors);
stopProbes();
await sleep(500);

const events = history.events();
const violations = check(events, await readFacts(deployment.postgres));
const report = reportOf(
  { seed, seconds: Math.round((history.now() - begun) / 1000) },
  events,
  { operations: run.workload.counts, faults: run.injector.counts },
  violations,
);
await deployment.stop(violations.length > 0);
for (const { point, rule, subject, evidence } of violations.slice(0, 20)) {
  say(`VIOLATION of point ${point}: ${rule}: ${subject}`);
  for (const event of evidence.slice(-6)) say(`    ${JSON.stringify(event)}`);
}
if (violations.length > 0) say(`the history is kept: ${deployment.directory}/history.jsonl`);
process.stdout.write(`${given.json ? JSON.stringify(report, null, 2) : asText(report)}\n`);
process.exit(violations.length > 0 ? 1 : 0);

async function fuzzAlone(count: number): Promise<never> {
  const { requests, statuses, failures } = await fuzzRun(deployment, random, count, say);
  await deployment.stop(false);
  for (const failure of failures.slice(0, 20)) say(`FAILED: ${failure.slice(0, 2000)}`);
  const answers = Object.entries(statuses).map(([status, times]) => `${status}: ${times}`);
  process.stdout.write(
    `seed ${seed}, requests ${requests} (${answers.join(', ')}), failures ${failures.length}\n`,
  );
  process.exit(failures.length > 0 ? 1 : 0);
}

function timedRun(forMs: number) {
  const over = () => history.now() - begun > forMs;
  const workload = createWorkload(deployment, random.fork(1), clients, over);
  const injector = createInjector(deployment, random.fork(2), { pauseMs: [1000, 3500], over });
  const sum = (numbers: number[]) => numbers.reduce((total, each) => total + each, 0);
  return {
    workload,
    injector,
    progress() {
      const done = sum([...workload.counts.values()].map((count) => count.done + count.interrupted));
      const faults = sum([...injector.counts.values()]);
      return `${Math.round((history.now() - begun) / 1000)} s: ${done} operations, ${faults} faults`;
    },
  };
}
