/** A short fault run on one topology, in a process of its own. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import type { Report } from '../faults/report.ts';
import type { TopologyResult } from '../faults/topologies_main.ts';

const main = join(import.meta.dirname, '../faults/topologies_main.ts');

/**
 * Injects these faults one after another, and resolves to what the checker found. `said`: what to read if it is too much. The
 * processes end with the test of this context.
 */
export async function runTopology(
  topology: string,
  faults: readonly string[],
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
): Promise<{ report: Report; said: string }> {
  const flags = ['--topology', topology, '--seed', '1', '--clients', '4', '--json'];
  const script = faults.flatMap((name) => ['--fault', name]);
  const child = spawn(process.execPath, [main, ...flags, ...script], { stdio: ['ignore', 'pipe', 'pipe'] });
  // Its own handler ends what it has started.
  onTestFinished(() => void child.kill('SIGTERM'));
  let [json, said] = ['', ''];
  child.stdout.on('data', (chunk) => {
    json += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  await new Promise((resolve) => child.once('close', resolve));
  const [result] = json ? (JSON.parse(json) as TopologyResult[]) : [];
  if (!result?.report) throw new Error(said);
  return { report: result.report, said };
}
