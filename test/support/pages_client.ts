import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { fastOpaque } from '../../src/browser/build_plugins.ts';
import { root } from '../../src/root.ts';

export type PagesClient = typeof import('../../src/browser/opaque_client.ts');

/** The pages' OPAQUE client with the arithmetic that the build gives it. Imported from the sources, it has the library's. */
export async function loadPagesClient(): Promise<PagesClient> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['src/browser/opaque_client.ts'],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    plugins: [fastOpaque],
    logLevel: 'error',
  });
  const directory = join(root, 'node_modules/.cache/cypher');
  const path = join(directory, `opaque_client_${randomBytes(6).toString('hex')}.mjs`);
  await mkdir(directory, { recursive: true });
  await writeFile(path, outputFiles[0]?.contents ?? '');
  try {
    return await import(pathToFileURL(path).href);
  } finally {
    await rm(path);
  }
}
