import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../src/root.ts';

/** The built files that `npm start` and `npx cypher` run. */
export const built = { server: join(root, 'dist/main.js'), commands: join(root, 'dist/cli.js') };
/** The sources of the same. */
export const sources = { server: join(root, 'src/main.ts'), commands: join(root, 'src/cli.ts') };

/** Builds what `built` names: what is tested or measured must not be yesterday's. */
export async function buildServer(): Promise<void> {
  await promisify(execFile)(process.execPath, [join(root, 'src/build_server.ts')]);
}
