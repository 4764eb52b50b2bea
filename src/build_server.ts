/**
 * Builds what `npm start`, `npx cypher` and the container run: the server and the command line with all they import, each in
 * a few files of dist/ instead of a thousand modules that Node would resolve and load one by one, a third of a start's
 * time. Nothing is minified, so that a stack trace can be read. `npm run dev` runs the sources as they are.
 *
 * What is written in one file must have different names: of those that have the same each but one gets a number. Classes go
 * by their names in oidc-provider: test/unit/build_server.test.ts sees to it that none of those is among them.
 */
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { root } from './root.ts';

const outdir = join(root, 'dist');

const started = performance.now();
const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: ['src/main.ts', 'src/cli.ts'],
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  // The first: opaque/native_group.ts changes the copy that Node itself finds. The second: it is loaded only where something
  // has to be migrated, and is larger than all the storage.
  external: ['@cloudflare/opaque-ts', 'node-pg-migrate'],
  // CommonJS packages require Node's own modules, which an ES module has no function for.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
  // A build that fails leaves the one before it as it was.
  write: false,
  logLevel: 'warning',
});
await mkdir(outdir, { recursive: true });
// The entries after all that they import, and what is no longer used at the end: a server may be starting meanwhile.
const isEntry = (path: string) => ['main.js', 'cli.js'].includes(basename(path));
for (const entries of [false, true]) {
  const files = outputFiles.filter(({ path }) => isEntry(path) === entries);
  await Promise.all(files.map(({ path, contents }) => writeFile(path, contents)));
}
await chmod(join(outdir, 'cli.js'), 0o755);
// build_modules.ts has a folder there.
const kept = new Set(['modules', ...outputFiles.map(({ path }) => basename(path))]);
const old = (await readdir(outdir)).filter((name) => !kept.has(name));
await Promise.all(old.map((name) => rm(join(outdir, name), { recursive: true, force: true })));
console.log(
  `built the server and the command line into dist in ${Math.round(performance.now() - started)} ms`,
);
