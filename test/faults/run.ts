/** Runs the fault injection as a person does, in a process of its own. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Report } from './report.ts';

const main = join(import.meta.dirname, 'main.ts');

/** To the end of the run. A process that is still there when the test is over ends what it has started. */
export async function run(
  ...flags: string[]
): Promise<{ code: number | null; report: Report; said: string }> {
  const running = spawn(process.execPath, [main, '--json', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void running.kill('SIGTERM'));
  let json = '';
  let said = '';
  running.stdout.on('data', (chunk) => {
    json += chunk;
  });
  running.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const code = await new Promise<number | null>((resolve) => running.once('close', resolve));
  if (!json) throw new Error(said);
  return { code, report: JSON.parse(json) as Report, said };
}
