/** Fault runs of broken builds, which must fail. */
import { expect, test } from 'vitest';
import { run } from './run.ts';

// The update alone gone, the successor still has one id: a token is rotated twice, and nobody is answered with another one. With
// successors that differ by process there are branches.
test.each([
  ['conditional_update', 1],
  ['rotation', 1],
] as const)('a build without the conditional UPDATE is caught: %s, at point %i', async (broken, point) => {
  // On a busy machine the clients do less in this time.
  for (const seconds of [8, 24, 72]) {
    const flags = ['--seconds', String(seconds), '--seed', '1', '--clients', '8', '--broken', broken];
    const { code, report } = await run(...flags);
    if (!report.violations[point] && seconds < 72) continue;
    expect(report.violations[point]).toBeGreaterThan(0);
    expect(code).toBe(1);
    return;
  }
});

test('a build that answers a repeated token at any time is caught: a thief could follow an app for ever', async () => {
  // PostgreSQL is there all the time: after an outage, a repetition would be answered by the whole build, too. A machine that is
  // busy has outages by itself, and needs longer.
  const flags = ['--seed', '1', '--clients', '8', '--only', 'flush redis', '--broken', 'lockstep'];
  let last = { code: 0 as number | null, said: '' };
  for (const seconds of ['25', '60', '180']) {
    if (last.code === 0) last = await run('--seconds', seconds, ...flags);
  }
  expect(last.said).toContain('a thief in lockstep was answered');
  expect(last.code).toBe(1);
});
