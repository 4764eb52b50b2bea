/**
 * The fault runs that are part of every test run: a short one of the real build, and those of broken builds, which
 * must fail.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { Report } from './report.ts';

const main = join(import.meta.dirname, 'main.ts');
let child: ChildProcess | undefined;
// Its own handler ends what it has started.
afterEach(() => child?.kill('SIGTERM'));

async function run(...flags: string[]): Promise<{ code: number | null; report: Report; said: string }> {
  const running = spawn(process.execPath, [main, '--json', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  child = running;
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

test('60 seconds of faults with a fixed seed violate no point of the guarantee', async () => {
  const { code, report, said } = await run('--seconds', '60', '--seed', '1', '--clients', '8');
  expect(report.violations, said).toEqual({ 1: 0, 2: 0, 3: 0, 4: 0 });
  expect(code).toBe(0);
  expect(report.rotations).toBeGreaterThan(50);
});

// The update alone gone, the successor still has one id: a token is rotated twice, and nobody is answered with another one. With
// successors that differ by process there are branches.
test.each([
  ['conditional_update', 1],
  ['rotation', 1],
] as const)('a build without the conditional UPDATE is caught: %s, at point %i', async (broken, point) => {
  const { code, report } = await run('--seconds', '8', '--seed', '1', '--clients', '8', '--broken', broken);
  expect(report.violations[point]).toBeGreaterThan(0);
  expect(code).toBe(1);
});
