/** What the build of the pages' scripts changes in the packages that they use. */
import { join } from 'node:path';
import type { Plugin } from 'esbuild';

const here = import.meta.dirname;

/**
 * Gives opaque-ts another P-256 and a newer scrypt, with the same results. Its own arithmetic takes most of a second
 * for a sign-in. Its own scrypt is an early version of the same library's.
 */
export const fastOpaque: Plugin = {
  name: 'fast-opaque',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^\.\/group\.js$/ }, ({ importer }) =>
      importer.includes('voprf-ts') ? { path: join(here, 'p256_group.ts') } : undefined,
    );
    onResolve({ filter: /^@noble\/hashes\/lib\/scrypt$/ }, ({ kind }) =>
      resolve('@noble/hashes/scrypt.js', { kind, resolveDir: here }),
    );
  },
};

/**
 * Leaves out zxcvbn's surnames and Wikipedia words. They are half of the download, and people build their passwords
 * from what the other lists contain: leaked passwords, common words, first names.
 */
export const smallDictionaries: Plugin = {
  name: 'small-dictionaries',
  setup({ onLoad }) {
    onLoad({ filter: /language-en\/dist\/(lastnames|wikipedia)\.json\.mjs$/ }, () => ({
      contents: 'export default [];',
    }));
  },
};
