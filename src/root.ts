import { join } from 'node:path';

/**
 * The folder with views/, migrations/ and package.json. It is the parent of src/ and of dist/. So this code must be
 * directly in dist/, not in a folder below.
 */
export const root = join(import.meta.dirname, '..');
