/** The broken builds of the fault runs against the sources: each of their edits still fits. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../../src/root.ts';
import { mutated, mutations } from '../faults/mutations.ts';

test.each(Object.entries(mutations))('the broken build %s changes each file that it names', (name, edits) => {
  for (const file of new Set(edits.map((edit) => edit.file))) {
    const path = join(root, 'src', file);
    const source = readFileSync(path, 'utf8');
    expect(mutated(name, path, source)).not.toBe(source);
  }
});
