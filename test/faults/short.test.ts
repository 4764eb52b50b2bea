/** The fault run that is part of every test run: a short one of the real build. */
import { expect, test } from 'vitest';
import { run } from './run.ts';

test('60 seconds of faults with a fixed seed violate no point of the guarantee', async () => {
  const { code, report, said } = await run('--seconds', '60', '--seed', '1', '--clients', '8');
  expect(report.violations, said).toEqual({ 1: 0, 2: 0, 3: 0, 4: 0 });
  expect(code).toBe(0);
  expect(report.rotations).toBeGreaterThan(50);
});
