/** The files of this repository, for tests of what they say. */
import { readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { root } from '../../src/root.ts';

const skipped = new Set(['node_modules', 'dist', 'assets', 'coverage']);

/** Files below a folder, relative to the root. Hidden ones, and what is installed, built or stored, are left out. */
export function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (entry.name.startsWith('.') || skipped.has(entry.name)) return [];
    const path = posix.join(folder, entry.name);
    return entry.isDirectory() ? filesIn(path) : [path];
  });
}
