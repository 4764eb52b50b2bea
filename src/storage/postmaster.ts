// The life of one PostgreSQL server process: up, found again by its postmaster.pid, down. Which cluster it serves and
// who may use it is embedded_postgres.ts' business.
import type { ChildProcess } from 'node:child_process';
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresPrograms } from './postgres_process.ts';

export interface PostmasterOptions {
  /** The cluster's directory, absolute and without symbolic links. */
  cluster: string;
  /** Appended to; begun anew when it has grown past 10 MB. */
  logFile: string;
  programs: PostgresPrograms;
  settings: Record<string, string>;
  log: (message: string) => void;
}

/** A server that accepts connections; `child` is absent when an earlier provider started it. */
export interface RunningPostmaster {
  pid: number;
  port: number;
  child: ChildProcess | undefined;
}

/** How long a start may take: recovery after a crash replays what was written since the last checkpoint. */
const START_TIMEOUT_MS = 60_000;
/** How long a server that ends at once is started again. */
const RETRY_MS = 10_000;
const STOP_TIMEOUT_MS = 20_000;
const POLL_MS = 10;
const LOG_BYTES_MAX = 10 * 1024 * 1024;

/**
 * Adopts the cluster's server or starts one, and resolves when it accepts connections. Retries until then: the port
 * may be taken meanwhile, a rival may be quicker, and after kill -9 old backends hold the memory for a moment.
 */
export async function bringUp(options: PostmasterOptions): Promise<RunningPostmaster> {
  const begun = performance.now();
  while (performance.now() < begun + RETRY_MS) {
    const child = (await readPostmaster(options.cluster)) ? undefined : await startPostmaster(options);
    while (performance.now() < begun + START_TIMEOUT_MS) {
      const postmaster = await readPostmaster(options.cluster);
      if (postmaster?.ready && (!child || postmaster.pid === child.pid)) {
        if (!child) options.log(`adopting the embedded PostgreSQL that already runs (pid ${postmaster.pid})`);
        return { pid: postmaster.pid, port: postmaster.port, child };
      }
      if (child ? hasEnded(child) : !postmaster) break;
      await sleep(POLL_MS);
    }
    await sleep(5 * POLL_MS);
  }
  const tail = (await readFile(options.logFile, 'utf8').catch(() => '')).slice(-1000);
  throw new Error(`The embedded PostgreSQL did not come up; the end of its log: ${tail}`);
}

async function startPostmaster({ cluster, logFile, programs, settings }: PostmasterOptions) {
  await disownPidFile(cluster);
  const port = await freePort();
  const size = (await stat(logFile).catch(() => undefined))?.size ?? 0;
  const output = await open(logFile, size > LOG_BYTES_MAX ? 'w' : 'a', 0o600);
  try {
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    // In a session of its own: a terminal's Ctrl-C must not end it before the provider has closed its pool.
    const child = programs.spawn(programs.postgres, ['-D', cluster, '-p', String(port), ...flags], {
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
    });
    child.on('error', () => {});
    child.unref();
    return child;
  } finally {
    await output.close();
  }
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;

/** What postmaster.pid says, if the process it names is this cluster's server and not a later bearer of its pid. */
async function readPostmaster(cluster: string) {
  const lines = (await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  const pid = Number(lines[0]);
  if (!(await isPostmasterOf(cluster, pid))) return undefined;
  return { pid, port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' };
}

/** By its command line, which a dead server that nobody has reaped no longer has. */
async function isPostmasterOf(cluster: string, pid: number): Promise<boolean> {
  if (!(pid > 0) || !isAlive(pid)) return false;
  if (process.platform !== 'linux') return true;
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return commandLine.split('\0').includes(cluster);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * After a reboot the pid in a left-over postmaster.pid may be any process's, and PostgreSQL would refuse to start.
 * It takes its own parent's pid there for stale, and still looks at the shared memory that the file names: so
 * write ours in place of the stranger's, rather than remove the file and that check with it.
 */
async function disownPidFile(cluster: string): Promise<void> {
  const path = join(cluster, 'postmaster.pid');
  const text = await readFile(path, 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  if (!(pid > 0) || !isAlive(pid) || (await isPostmasterOf(cluster, pid))) return;
  await writeFile(path, text.replace(/^\d+/, String(process.pid)));
}

/** A fast shutdown: ends all connections, resolves when the server is down; an immediate one after 20 s. */
export async function stopPostmaster(cluster: string, { pid, child }: RunningPostmaster): Promise<void> {
  const isUp = async () => (child ? !hasEnded(child) : isPostmasterOf(cluster, pid));
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    if (!(await isUp())) return;
    process.kill(pid, signal);
    const deadline = performance.now() + STOP_TIMEOUT_MS;
    while ((await isUp()) && performance.now() < deadline) await sleep(POLL_MS);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
