/**
 * Starts, finds and stops one PostgreSQL server process. It is found by its postmaster.pid. This file does not own
 * the cluster that the process serves, and does not decide who may use it.
 */
import type { ChildProcess } from 'node:child_process';
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresPrograms } from './postgres_process.ts';

export interface PostmasterOptions {
  /** The cluster's directory, absolute and without symbolic links. */
  cluster: string;
  /** The server's log is appended here. A start begins the file anew if it is larger than 10 MB. */
  logFile: string;
  programs: PostgresPrograms;
  settings: Record<string, string>;
  log: (message: string) => void;
}

/** A server that accepts connections. `child` is undefined if an earlier provider started it. */
export interface RunningPostmaster {
  pid: number;
  port: number;
  child: ChildProcess | undefined;
}

/** How long a start may take. After a crash it replays everything that was written since the last checkpoint. */
const START_TIMEOUT_MS = 60_000;
/** For how long we start a server again that exits immediately. */
const RETRY_MS = 10_000;
const STOP_TIMEOUT_MS = 20_000;
const POLL_MS = 10;
const LOG_BYTES_MAX = 10 * 1024 * 1024;

/**
 * Adopts the running server of the cluster, or starts one. Resolves when it accepts connections. A start may fail for
 * a moment, so it is repeated for ten seconds: another process may have taken the port, another provider may be
 * starting the server, and after kill -9 old backends still hold the shared memory. Rejects with the end of the log.
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
    // Detached, so that Ctrl-C in a terminal does not end it before the provider has closed its pool.
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

/** Reads postmaster.pid. Undefined if the process with that pid is not this cluster's server: pids are reused. */
async function readPostmaster(cluster: string) {
  const lines = (await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  const pid = Number(lines[0]);
  if (!(await isPostmasterOf(cluster, pid))) return undefined;
  return { pid, port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' };
}

/** Compares the command line. The command line of a zombie process is empty. */
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
 * After a reboot, the pid in an old postmaster.pid may belong to another process, and PostgreSQL would refuse to
 * start. It ignores the pid of its own parent there, so we write our pid into the file. We do not delete the file:
 * PostgreSQL also checks the shared memory that the file names, and would skip that check.
 */
async function disownPidFile(cluster: string): Promise<void> {
  const path = join(cluster, 'postmaster.pid');
  const text = await readFile(path, 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  if (!(pid > 0) || !isAlive(pid) || (await isPostmasterOf(cluster, pid))) return;
  await writeFile(path, text.replace(/^\d+/, String(process.pid)));
}

/**
 * Shuts the server down, and resolves when it is down. The fast shutdown ends all connections. If it takes longer
 * than 20 s, an immediate shutdown follows.
 */
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
