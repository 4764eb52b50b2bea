/**
 * `npm run bench`: Cypher beside its peers on this machine, in one run, in turns. It starts all it needs, measures the
 * works in the order of the list below, and ends with one line a goal. What a work measures is in works/; what is
 * measured, in subjects/; nothing here is imported by the server or its tests.
 */
import { cpus } from 'node:os';
import { buildServer } from '../support/built.ts';
import { leaveServerCore, placement } from './cores.ts';
import { createOpaqueClients } from './opaque_clients.ts';
import { readOptions } from './options.ts';
import { paused } from './pause.ts';
import { installPeers } from './peers/install.ts';
import { createProgress } from './progress.ts';
import { record } from './record.ts';
import { describe, markdownTable, verdicts } from './report.ts';
import { buildStage } from './stage.ts';
import { startBare } from './subjects/bare.ts';
import { startBetterAuth } from './subjects/better_auth.ts';
import { startCypher } from './subjects/cypher.ts';
import type { Bench, Result, Work } from './work.ts';
import { browser } from './works/browser.ts';
import { clientCredentials } from './works/client_credentials.ts';
import { codeExchange } from './works/code_exchange.ts';
import { introspection } from './works/introspection.ts';
import { kept } from './works/kept.ts';
import { login } from './works/login.ts';
import { loginInit } from './works/login_init.ts';
import { mixed } from './works/mixed.ts';
import { opaque } from './works/opaque.ts';
import { overload } from './works/overload.ts';
import { refresh } from './works/refresh.ts';
import { scale } from './works/scale.ts';
import { startUp } from './works/start_up.ts';
import { userTiming } from './works/user_timing.ts';

const works: Work[] = [
  ...[startUp, introspection, clientCredentials, refresh, opaque, loginInit, login],
  ...[codeExchange, mixed, kept, scale, overload, userTiming, browser],
];

const options = readOptions(works.map(({ name }) => name));
const progress = createProgress(process.stderr);
const results: Result[] = [];
const print = (text: string) => {
  progress.doing('');
  if (!options.json) process.stdout.write(`${text}\n`);
};

const machine = `${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores, Node ${process.version}`;
const manner = `${options.rounds} rounds of A-B-B-A, ${options.blockSeconds} s a block${options.quick ? ' (--quick: too few to quote)' : ''}`;
print(`${machine}\n${placement}\n${manner}`);
leaveServerCore();
installPeers(progress.say);
await buildServer();
const stage = await buildStage();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void stage.close().finally(() => process.exit(130)));
}
const start = <T>(name: string, starting: () => Promise<T>): Promise<T> => {
  progress.doing(`starting ${name}`);
  return starting();
};
/** A work that met a fault is done once more. One that meets another is left out, and said to be. */
async function measured(work: Work, bench: Bench): Promise<Omit<Result, 'work'>> {
  const peers = work.alone ? [bench.bare, bench.betterAuth] : [];
  const run = () => paused(peers, () => work.run(bench));
  try {
    return await run().catch((error: Error) => {
      print(`${work.name} failed and is done once more: ${error.message}`);
      return run();
    });
  } catch (error) {
    const figure = `not measured: ${(error as Error).message}`;
    const goals = [{ goal: 'it can be measured', figure, met: false }];
    return { title: work.name, figures: [], ratios: [], goals, notes: [figure] };
  }
}

try {
  const opaqueClients = await createOpaqueClients();
  stage.onClose(opaqueClients.close);
  const people = options.quick ? 10_000 : 30_000;
  const cypher = await start('Cypher', () => startCypher(stage, opaqueClients, { people }));
  const bare = await start('bare oidc-provider', () => startBare(stage));
  const betterAuth = await start('better-auth', () => startBetterAuth(stage));
  const starts = [cypher, bare, betterAuth].map(({ name, readyMs }) => `${name} ${Math.round(readyMs)} ms`);
  print(`first answer, on an empty database: ${starts.join('; ')}`);
  for (const work of works) {
    const { name } = work;
    if (options.only.length > 0 && !options.only.includes(name)) continue;
    const told = (text: string) => progress.doing(`${name}: ${text}`);
    const bench = { options, stage, opaque: opaqueClients, cypher, bare, betterAuth, told };
    const result = { work: name, ...(await measured(work, bench)) };
    results.push(result);
    print(describe(result));
  }
} finally {
  await stage.close();
}

print(`\n${markdownTable(results)}`);
if (options.record)
  record(
    machine,
    results,
    works.map(({ name }) => name),
  );
if (options.json)
  process.stdout.write(`${JSON.stringify({ machine, placement, manner, results }, null, 2)}\n`);
else print(verdicts(results).join('\n'));
