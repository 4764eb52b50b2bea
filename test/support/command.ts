/** `npx cypher …` as an administrator runs it: a process of its own, on the storage of a test server. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { kek } from './server.ts';

const cli = new URL('../../src/cli.ts', import.meta.url).pathname;

/** Its standard output. Rejects with `stderr` where it ends with another code than 0. */
export async function cypher(
  storage: { databaseUrl: string },
  words: string[],
  settings: Record<string, string> = {},
): Promise<string> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', cli, ...words],
    {
      env: {
        ...process.env,
        DATABASE_URL: storage.databaseUrl,
        KEY_ENCRYPTION_KEY: kek.toString('base64url'),
        ...settings,
      },
    },
  );
  return stdout;
}
