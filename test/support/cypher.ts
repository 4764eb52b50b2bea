/** Runs `npx cypher …` as an administrator does: in a process of its own, on the storage of a running server. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadFiles } from '../../src/config/load.ts';
import { built } from './built.ts';
import { createMigratedDatabase, createRedisDatabase } from './databases.ts';
import { kek, type ServerOptions, startServer, type TestServer } from './server.ts';

const root = new URL('../..', import.meta.url).pathname;

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  input?: string;
  settings?: Record<string, string>;
  /** Nobody reads the standard output to its end, as in `| head -1`. */
  unread?: boolean;
}

export interface Administered extends TestServer {
  databaseUrl: string;
  redisUrl: string;
  /** Runs a command; `input` goes to its standard input. */
  cypher(args: string[], options?: CommandOptions): Promise<Ran>;
}

/** A server whose database commands can reach. `settings` are theirs too. */
export async function startAdministered(options: ServerOptions = {}): Promise<Administered> {
  const database = await createMigratedDatabase();
  const redisUrl = await createRedisDatabase();
  const directory = await mkdtemp(join(tmpdir(), 'cypher-administered-'));
  const clientsFile = join(directory, 'clients.json');
  await writeFile(clientsFile, JSON.stringify(options.clients ?? []));
  const files = { CLIENTS_FILE: clientsFile, RESOURCES_FILE: join(root, 'config/resources.json') };
  const server = await startServer({
    digests: loadFiles(files).digests,
    ...options,
    storage: { databaseUrl: database.url, redisUrl },
  });
  return {
    ...server,
    databaseUrl: database.url,
    redisUrl,
    cypher: (args, { input = '', settings = {}, unread = false } = {}) =>
      runCypher(
        args,
        {
          ISSUER: server.url,
          DATABASE_URL: database.url,
          REDIS_URL: redisUrl,
          CLIENTS_FILE: clientsFile,
          KEY_ENCRYPTION_KEY: kek.toString('base64url'),
          ...options.settings,
          ...settings,
        },
        { input, unread },
      ),
    async close() {
      await server.close();
      await database.drop();
      await rm(directory, { recursive: true });
    },
  };
}

/** The same on storage alone. Its standard output; rejects with `stderr` where it ends with another code than 0. */
export async function cypher(
  { databaseUrl }: { databaseUrl: string },
  args: string[],
  settings: Record<string, string> = {},
): Promise<string> {
  const own = { DATABASE_URL: databaseUrl, KEY_ENCRYPTION_KEY: kek.toString('base64url') };
  const ran = await runCypher(args, { ...own, ...settings });
  if (ran.code !== 0) throw Object.assign(new Error(ran.stderr), ran);
  return ran.stdout;
}

/** Runs a command with these settings and no others. */
export function runCypher(
  args: string[],
  settings: Record<string, string>,
  { input = '', unread = false }: Omit<CommandOptions, 'settings'> = {},
): Promise<Ran> {
  const { PATH, HOME } = process.env;
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [built.commands, ...args],
      { cwd: root, env: { PATH, HOME, ...settings } },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
    );
    child.stdin?.end(input);
    if (unread) child.stdout?.destroy();
  });
}
