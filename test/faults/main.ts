/**
 * `node test/faults/main.ts [--seconds 60 | --minutes 10] [--seed 1] [--json]` tests the guarantee. It runs two
 * provider processes on a real PostgreSQL and Redis, lets virtual clients work while faults are injected, and checks
 * the history. The exit code is 1 if the guarantee was violated.
 *
 * - `--clients 10`: the number of virtual clients.
 * - `--rotations 10000`: instead, counts rotations while processes are killed with -9.
 * - `--fuzz 100000`: instead, sends so many invalid requests. None of them may be answered with 5xx.
 * - `--only NAME`, more than once: the faults to choose from.
 * - `--broken NAME`: runs a broken build, in which violations must be found.
 */
import { parseArgs } from 'node:util';
import { installNativeGroup } from '../../src/opaque/native_group.ts';
import { createProgress } from '../bench/progress.ts';
import { buildServer } from '../support/built.ts';
import { carryOut, linesOf, timedRun } from './carry_out.ts';
import { deploy } from './deployment.ts';
import { fuzzRun } from './fuzz.ts';
import { mutations } from './mutations.ts';
import { createRandom } from './random.ts';
import { asText } from './report.ts';
import { rotationsRun } from './rotations.ts';
import { startSingle } from './storage_single.ts';

const { values: given } = parseArgs({
  options: {
    seconds: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string', default: '1' },
    clients: { type: 'string', default: '10' },
    rotations: { type: 'string' },
    fuzz: { type: 'string' },
    broken: { type: 'string' },
    only: { type: 'string', multiple: true },
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
const deployment = await deploy(startSingle, given.broken);
say(`two providers on PostgreSQL and Redis; history in ${deployment.directory}/history.jsonl`);

const random = createRandom(seed);
if (given.fuzz) await fuzzAlone(Number(given.fuzz));
const run = given.rotations
  ? rotationsRun(deployment, random, clients, Number(given.rotations))
  : timedRun(deployment, random, { clients, seconds, only: given.only });
const progress = createProgress(process.stderr);
const { report, violations } = await carryOut(deployment, seed, run, progress.doing);
progress.doing('');
await deployment.stop(violations.length > 0);
for (const line of linesOf(violations)) say(line);
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
