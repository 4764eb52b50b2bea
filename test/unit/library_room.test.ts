/** One room touches the internals of oidc-provider, and one file of it its ambient context: held by machine. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../../src/root.ts';

const room = 'oidc/library/';

/** The sources without their comments, by their paths under src/. */
const sources = await Promise.all(
  (await readdir(join(root, 'src'), { recursive: true }))
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
    .map(async (path) => {
      const text = await readFile(join(root, 'src', path), 'utf8');
      const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/(?! @ts-).*/g, '');
      return { path, code };
    }),
);

const filesWith = (pattern: RegExp): string[] =>
  sources
    .filter(({ code }) => pattern.test(code))
    .map(({ path }) => path)
    .sort();
const outside = (paths: string[]): string[] => paths.filter((path) => !path.startsWith(room));

const unsafeCast = /\bas unknown as\b|\bas never\b|\bas any\b|@ts-(expect-error|ignore|nocheck)/;
const internals = /['"]oidc-provider\/lib\//;
/** The class itself, and not what the library exports for its users: errors and interaction policies. */
const providerClass = /import (?!type )(\w+|\{[^}]*\b(?<!type )Provider\b[^}]*\})[^;]* from 'oidc-provider'/;

test('the patterns find what they are about', () => {
  expect(sources.length).toBeGreaterThan(200);
  for (const pattern of [unsafeCast, internals, providerClass]) expect(filesWith(pattern)).not.toEqual([]);
});

test('casts that the compiler cannot check, and what it is told to overlook, are in the library’s room alone', () => {
  expect(outside(filesWith(unsafeCast))).toEqual([]);
});

test('the library’s own files and its class are imported in its room alone', () => {
  expect(outside(filesWith(internals))).toEqual([]);
  expect(outside(filesWith(providerClass))).toEqual([]);
});

test('one file reads the ambient context of the library', () => {
  expect(filesWith(/\b(Provider|ProviderClass)\??\.ctx\b|=\s*Provider(Class)?;/)).toEqual([
    `${room}request_scope.ts`,
  ]);
});

test('what is remembered of a request at the library’s endpoints is a field of its scope: no other memory by request', () => {
  const memories = filesWith(/\brequestMemory\b/).filter((path) => path.startsWith('oidc/'));
  expect(memories).toEqual([`${room}request_scope.ts`]);
});
