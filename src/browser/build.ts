/**
 * Builds what the pages load: scripts, workers, the stylesheet and its pictures, into views/assets, each under a name
 * with its content's hash, beside a gzip and a brotli form of it, and manifest.json (plain name → hashed name).
 * Run by `npm run build`; http/assets.ts serves the result. Nothing else writes there.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { build, type Plugin } from 'esbuild';

const here = import.meta.dirname;
const outdir = join(here, '../../views/assets');

/**
 * Leaves zxcvbn's surnames and Wikipedia words out: they are half of the download, and the lists that stay (leaked
 * passwords, common words, first names) are what people's passwords are made of.
 */
const smallDictionaries: Plugin = {
  name: 'small-dictionaries',
  setup({ onLoad }) {
    onLoad({ filter: /language-en\/dist\/(lastnames|wikipedia)\.json\.mjs$/ }, () => ({
      contents: 'export default [];',
    }));
  },
};

/** Both compressed forms, for the texts that gain from them. */
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
  // Every script is whole: a page's own is a few kB, and a shared chunk would cost it a round trip more.
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['es2022', 'chrome100', 'firefox114', 'safari16'],
  loader: { '.svg': 'copy' },
  // sjcl asks for Node's crypto where `module` exists; in a browser it does not.
  define: { module: 'undefined' },
  plugins: [smallDictionaries],
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
