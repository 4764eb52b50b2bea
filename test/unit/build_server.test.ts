// What `npm start` runs, src/build_server.ts's output, is the sources merged: where a package has to stay apart from it.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const dist = new URL('../../dist', import.meta.url).pathname;

test('opaque-ts is not merged in: a second copy of it would never get the native arithmetic', async () => {
  const names = (await readdir(dist)).filter((name) => name.endsWith('.js'));
  const texts = await Promise.all(names.map((name) => readFile(join(dist, name), 'utf8')));
  expect(texts.filter((text) => /from "@cloudflare\/opaque-ts"/.test(text)).length).toBeGreaterThan(0);
  expect(texts.filter((text) => text.includes('sjcl'))).toEqual([]);
});
