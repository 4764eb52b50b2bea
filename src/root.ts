import { join } from 'node:path';

/** Where views/, migrations/ and package.json are: above src/ as above dist/, which therefore has no folders of its own code. */
export const root = join(import.meta.dirname, '..');
