// What `npm start` runs is the sources and their packages merged by src/build_server.ts: what must not change by that.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createHolder } from '../../src/lib/current.ts';
import { createAnonymousForms } from '../../src/oidc/library/routes/anonymous_forms.ts';
import { changedSteps } from '../../src/oidc/library/routes/changed_steps.ts';
import { leanStepNames } from '../../src/oidc/library/routes/lean_steps.ts';
import { settling } from '../../src/oidc/library/routes/routes.ts';
import { root } from '../../src/root.ts';

async function textsIn(directory: string): Promise<string[]> {
  // dist/ is flat but for its modules, which another test may be building anew.
  const names = await readdir(join(root, directory), { recursive: directory !== 'dist' });
  const code = names.filter((name) => /\.[jt]s$/.test(name) && !name.endsWith('.d.ts'));
  return Promise.all(code.map((name) => readFile(join(root, directory, name), 'utf8')));
}

test('opaque-ts is not merged in: a second copy of it would never get the native arithmetic', async () => {
  const texts = await textsIn('dist');
  expect(texts.filter((text) => /from "@cloudflare\/opaque-ts"/.test(text)).length).toBeGreaterThan(0);
  expect(texts.some((text) => text.includes('sjcl'))).toBe(false);
});

test('classes keep their names: oidc-provider stores them as kinds, and errors go by them', async () => {
  const dist = await textsIn('dist');
  const library = dist.filter((text) => text.includes('class RefreshToken '));
  expect(library).toHaveLength(1);
  for (const [directory, merged] of [
    ['node_modules/oidc-provider/lib', library],
    ['node_modules/jose/dist', library],
    ['src', dist],
  ] as const) {
    const sources = await textsIn(directory);
    const classes = sources.flatMap((text) =>
      [...text.matchAll(/\bclass ([A-Z]\w*)/g)].map(([, name]) => name),
    );
    const renamed = (name: string | undefined) => {
      const other = new RegExp(`\\bclass (_${name}\\d*|${name}\\d+)\\b|\\b${name}\\d+ = class\\b`);
      return merged.some((text) => other.test(text));
    };
    expect(classes.length, directory).toBeGreaterThan(4);
    expect([...new Set(classes)].filter(renamed), directory).toEqual([]);
  }
});

test('the steps that are changed are there by their names, with or without a number', async () => {
  const { steps } = createAnonymousForms(Buffer.alloc(32), { name: 'x', secure: true });
  const stepNames = [
    'ensureOIDC',
    ...leanStepNames.map((name) => name.replace('bound ', '')).filter((name) => name !== 'cors'),
    ...[settling, changedSteps(createHolder([]), () => {}), steps].flatMap((table) => Object.keys(table)),
  ];
  const dist = (await textsIn('dist')).join('\n');
  const missing = stepNames.filter(
    (name) => !new RegExp(`\\b(function|var|const) ${name}\\d*\\b`).test(dist),
  );
  expect(missing).toEqual([]);
});

test('a command loads what it needs alone: --help and listings load none of the protocol library', async () => {
  /** The file and all that it imports at once; what is imported later is not followed. */
  async function loaded(name: string, seen = new Map<string, string>()): Promise<Map<string, string>> {
    if (seen.has(name)) return seen;
    const text = await readFile(join(root, 'dist', name), 'utf8');
    seen.set(name, text);
    for (const [, file] of text.matchAll(/^(?:import|\} from|export .* from) ?"\.\/([\w-]+\.js)";/gm))
      await loaded(String(file), seen);
    return seen;
  }
  const bytes = async (name: string) =>
    [...(await loaded(name)).values()].reduce((sum, text) => sum + text.length, 0);
  const [user = ''] = (await readdir(join(root, 'dist'))).filter((name) => /^user-\w+\.js$/.test(name));
  const [client = ''] = (await readdir(join(root, 'dist'))).filter((name) => /^client-\w+\.js$/.test(name));
  expect(await bytes('cli.js')).toBeLessThan(300_000);
  expect(await bytes('main.js')).toBeGreaterThan(100);
  for (const name of [user, client]) {
    const texts = [...(await loaded(name)).values()];
    expect(texts.length, name).toBeGreaterThan(3);
    expect(
      texts.some((text) => text.includes('class RefreshToken ')),
      name,
    ).toBe(false);
  }
});
