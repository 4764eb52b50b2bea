/**
 * Builds the server and the command line into a few files of dist/. Otherwise Node would resolve and load a thousand
 * modules one by one, which takes a third of a start's time. Nothing is minified, so that stack traces are readable.
 * `npm run dev` runs the sources instead.
 *
 * If two things in one file have the same name, esbuild adds a number to one of them. oidc-provider uses the names of
 * its classes, so these must not change. test/unit/build_server.test.ts guards that.
 */
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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
  // Its functions are replaced in the copy that Node itself finds.
  external: ['@cloudflare/opaque-ts'],
  // CommonJS packages call `require` for Node's own modules, and an ES module has no such function.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
  // Files are written below, so that a build that fails leaves the previous one unchanged.
  write: false,
  logLevel: 'warning',
});
await mkdir(outdir, { recursive: true });
// A server may be starting meanwhile. So the entries are written after the files that they import, and old files are
// deleted last. A file that stays the same is not written: for a moment it would be empty.
const write = async (path: string, contents: Uint8Array) => {
  const present = await readFile(path).catch(() => undefined);
  if (!present?.equals(contents)) await writeFile(path, contents);
};
const isEntry = (path: string) => ['main.js', 'cli.js'].includes(basename(path));
for (const entries of [false, true]) {
  const files = outputFiles.filter(({ path }) => isEntry(path) === entries);
  await Promise.all(files.map(({ path, contents }) => write(path, contents)));
}
await chmod(join(outdir, 'cli.js'), 0o755);
// `modules` belongs to another build.
const kept = new Set(['modules', ...outputFiles.map(({ path }) => basename(path))]);
const old = (await readdir(outdir)).filter((name) => !kept.has(name));
await Promise.all(old.map((name) => rm(join(outdir, name), { recursive: true, force: true })));
console.log(
  `built the server and the command line into dist in ${Math.round(performance.now() - started)} ms`,
);
