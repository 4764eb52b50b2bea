/** Every module of every plan is the name of a test, and no test here goes by another name. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { plans } from './modules.ts';

/** The names of the tests in a file of this folder, by themselves or as the first of a row of test.each. */
function testsIn(file: string): string[] {
  const text = readFileSync(new URL(`${file}.test.ts`, import.meta.url), 'utf8');
  const names = [...text.matchAll(/^ *(?:test\(|\[)'((?:oidcc|fapi2)-[\w-]+)'(?:, async|,)/gm)].map(
    ([, name]) => name ?? '',
  );
  return names.filter((name) => !name.endsWith('-test-plan'));
}

test.each(Object.entries(plans))('%s has a test for each module', (_plan, { files, modules }) => {
  expect(files.flatMap(testsIn).sort()).toEqual([...modules].sort());
});

test('each file belongs to a plan', () => {
  const names = readdirSync(new URL('.', import.meta.url)).flatMap((name) =>
    name.endsWith('.test.ts') && name !== 'modules.test.ts' ? [name.replace('.test.ts', '')] : [],
  );
  expect(names.sort()).toEqual([...new Set(Object.values(plans).flatMap(({ files }) => files))].sort());
});
