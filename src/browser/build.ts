/**
 * Builds what the pages load (scripts, workers, the stylesheet and its pictures) into views/assets. Each file is
 * named by a hash of its content, and has a gzip and a brotli form. manifest.json maps plain names to hashed names.
 * Run by `npm run build`; nothing else writes there.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { build } from 'esbuild';
import { fastOpaque, smallDictionaries } from './build_plugins.ts';

const here = import.meta.dirname;
const outdir = join(here, '../../views/assets');

/** Both compressed forms of a file. */
async function compressed(path: string, contents: Uint8Array): Promise<[string, Uint8Array][]> {
  // Brotli's top level takes seconds on the dictionaries and gains 4 %.
  const params = { [constants.BROTLI_PARAM_QUALITY]: contents.length < 200_000 ? 11 : 9 };
  const [br, gz] = await Promise.all([
    promisify(brotliCompress)(contents, { params }),
    promisify(gzip)(contents, { level: 9 }),
  ]);
  return [
    [`${path}.br`, br],
    [`${path}.gz`, gz],
  ];
}

const started = performance.now();
const { outputFiles, metafile } = await build({
  absWorkingDir: here,
  entryPoints: [
    'pages/login.ts',
    'pages/register.ts',
    'pages/account_confirm.ts',
    'pages/account_password.ts',
    'pages/page.ts',
    'pages/form_post.ts',
    'pages/opaque_worker.ts',
    'pages/strength_worker.ts',
    'style.css',
    'images/logo.svg',
  ],
  outdir,
  entryNames: '[name]-[hash]',
  assetNames: '[name]-[hash]',
  // Every script is self-contained: a page's own is a few kB, and a shared chunk would cost one more round trip.
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['es2022', 'chrome100', 'firefox114', 'safari16'],
  loader: { '.svg': 'copy' },
  plugins: [fastOpaque, smallDictionaries],
  legalComments: 'none',
  metafile: true,
  write: false,
  logLevel: 'warning',
});

const manifest: Record<string, string> = {};
for (const [path, { entryPoint }] of Object.entries(metafile.outputs)) {
  if (entryPoint) manifest[basename(entryPoint).replace(/\.ts$/, '.js')] = basename(path);
}

const files = await Promise.all(
  outputFiles.map(
    async ({ path, contents }): Promise<[string, Uint8Array][]> => [
      [path, contents],
      ...(await compressed(path, contents)),
    ],
  ),
);
await rm(outdir, { recursive: true, force: true });
await mkdir(outdir, { recursive: true });
await Promise.all(files.flat().map(([path, contents]) => writeFile(path, contents)));
await writeFile(join(outdir, 'manifest.json'), JSON.stringify(manifest, null, 2));
console.log(
  `built ${outputFiles.length} files into views/assets in ${Math.round(performance.now() - started)} ms`,
);
