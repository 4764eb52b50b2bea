/**
 * Builds `cypher-idp/resource-server` and `cypher-idp/browser` into dist/modules, for apps. They must be JavaScript,
 * because Node does not run TypeScript in node_modules. The result is a package of its own (`npm pack
 * ./dist/modules`). It depends only on `paseto`, so that an API does not have to install a provider. The browser's
 * module is one minified file; its size is printed.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { root } from './root.ts';

const outdir = join(root, 'dist/modules');
const shared = { absWorkingDir: root, bundle: true, format: 'esm', outdir, logLevel: 'warning' } as const;

await rm(outdir, { recursive: true, force: true });
await mkdir(outdir, { recursive: true });
await Promise.all([
  build({
    ...shared,
    entryPoints: { 'resource-server': 'src/resource_server/index.ts' },
    platform: 'node',
    target: 'node20',
    packages: 'external',
  }),
  build({
    ...shared,
    entryPoints: { browser: 'src/browser_client/index.ts' },
    platform: 'browser',
    target: ['es2022', 'chrome100', 'firefox114', 'safari16'],
    minify: true,
  }),
]);

const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
const packed = {
  name: manifest.name,
  version: manifest.version,
  description: 'Checks the tokens of a Cypher provider in an API, and signs people in from a page',
  license: manifest.license,
  type: 'module',
  engines: { node: '>=20.12' },
  sideEffects: false,
  exports: {
    './resource-server': { types: './resource_server/index.d.ts', default: './resource-server.js' },
    './browser': { types: './browser_client/index.d.ts', default: './browser.js' },
  },
  dependencies: { paseto: manifest.dependencies.paseto },
};
await writeFile(join(outdir, 'package.json'), `${JSON.stringify(packed, null, 2)}\n`);
for (const project of ['resource_server', 'browser_client']) {
  const flags = [
    '--noEmit',
    'false',
    '--declaration',
    '--emitDeclarationOnly',
    '--outDir',
    join(outdir, project),
  ];
  execFileSync(
    join(root, 'node_modules/.bin/tsc'),
    ['-p', join(root, 'src', project, 'tsconfig.json'), ...flags],
    {
      stdio: 'inherit',
    },
  );
}
const { length } = gzipSync(await readFile(join(outdir, 'browser.js')), { level: 9 });
console.log(
  `built cypher-idp/resource-server and cypher-idp/browser (${length} bytes gzipped) into dist/modules`,
);
