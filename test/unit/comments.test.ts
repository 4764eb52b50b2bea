/** What comments say of files: each one that they name exists. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../../src/root.ts';
import { filesIn } from '../support/repository.ts';

const files = filesIn('.');
const exists = (name: string): boolean => files.some((path) => path === name || path.endsWith(`/${name}`));

/** Comments of TypeScript, JavaScript, CSS, SQL, EJS and YAML. */
const comments = /\/\*[\s\S]*?\*\/|(?:^|\s)\/\/[^\n]*|^\s*--[^\n]*|<%#[\s\S]*?%>|^\s*#[^\n]*/gm;
const fileName = /(?<![\w*])[\w./-]*\w\.(?:ts|mjs|sql|ejs|json|md|css|yml|conf)\b/g;

/** Written by the build, or pages of a specification. */
const elsewhere = new Set(['manifest.json', 'types/secret.md', 'operations/ID.md']);

const named = files
  .filter((path) => /\.(ts|mjs|sql|ejs|css|yml)$/.test(path))
  .flatMap((path) =>
    (readFileSync(join(root, path), 'utf8').match(comments) ?? []).flatMap((comment) =>
      (comment.match(fileName) ?? []).map((name) => ({ path, name: name.replace(/^(\.{1,2}\/)+/, '') })),
    ),
  );

test('every file that a comment names exists', () => {
  expect(named.length).toBeGreaterThan(50);
  expect(named.filter(({ name }) => !exists(name) && !elsewhere.has(name))).toEqual([]);
});

test('every name that is let pass is still in a comment', () => {
  for (const name of elsewhere) expect(named.map((each) => each.name)).toContain(name);
});
