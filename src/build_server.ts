/**
 * Builds what `npm start`, `npx cypher` and the container run: the server and the command line with all they import, each in
 * a few files of dist/ instead of a thousand modules that Node would resolve and load one by one, a third of a start's
 * time. Nothing is minified, so that a stack trace can be read. `npm run dev` runs the sources as they are.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './root.ts';

const outdir = join(root, 'dist');

const started = performance.now();
await removeBuilt();
await build({
  absWorkingDir: root,
  entryPoints: ['src/main.ts', 'src/cli.ts'],
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  // The first two: opaque/native_group.ts changes the copy that Node itself finds. The third is loaded where there is
  // something to migrate alone, and brings more code than the rest of the storage.
  external: ['@cloudflare/opaque-ts', '@cloudflare/voprf-ts', 'node-pg-migrate'],
  // CommonJS packages require Node's own modules, which an ES module has no function for.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
  logLevel: 'warning',
});
console.log(
  `built the server and the command line into dist in ${Math.round(performance.now() - started)} ms`,
);

/** Leaves dist/modules alone, which build_modules.ts makes. */
async function removeBuilt(): Promise<void> {
  const names = await readdir(outdir).catch(() => []);
  await Promise.all(names.filter((name) => name.endsWith('.js')).map((name) => rm(join(outdir, name))));
}
