import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The path of an executable on PATH, or undefined. */
export function findOnPath(...names: string[]): string | undefined {
  const directories = (process.env.PATH ?? '').split(delimiter).filter((directory) => directory !== '');
  return names.flatMap((name) => directories.map((directory) => join(directory, name))).find(isExecutable);
}

/** The browser for the tests: what CHROMIUM names, else the first of its usual names on PATH. */
export function findChromium(): string | undefined {
  return process.env.CHROMIUM || findOnPath('chromium', 'chromium-browser', 'google-chrome');
}

/** The nginx for the tests. Debian puts it where only root looks. */
export const findNginx = (): string | undefined =>
  findOnPath('nginx') ?? ['/usr/sbin/nginx', '/usr/local/sbin/nginx'].find(isExecutable);

/** The PgBouncer for the tests, where there is one. Debian puts it where only root looks. */
export const findPgBouncer = (): string | undefined =>
  findOnPath('pgbouncer') ?? ['/usr/sbin/pgbouncer', '/usr/local/sbin/pgbouncer'].find(isExecutable);

/** The HAProxy for the tests, where there is one. Debian puts it where only root looks. */
export const findHaproxy = (): string | undefined =>
  findOnPath('haproxy') ?? ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy'].find(isExecutable);

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
