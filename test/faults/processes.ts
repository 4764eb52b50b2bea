/**
 * Processes that the harness starts. Each is known by its pid, and ends when the harness ends, in whatever way that
 * happens.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const pids = new Set<number>();
process.on('exit', () => {
  for (const pid of pids) killTree(pid);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

/** Starts a program that does not outlive the harness. */
export function start(program: string, args: string[], options: SpawnOptions): ChildProcess {
  const child = spawn(program, args, options);
  const { pid } = child;
  if (pid !== undefined) {
    adopt(pid);
    child.once('exit', () => pids.delete(pid));
  }
  return child;
}

/** Takes over the end of a process that something else has started for the harness. */
export function adopt(pid: number): void {
  pids.add(pid);
}

/** kill -9 of a process and of its children at once, as when the machine's power goes. */
export function killTree(pid: number): void {
  const all = [pid, ...childrenOf(pid)];
  for (const each of all) signal(each, 'SIGKILL');
  pids.delete(pid);
}

/** Sends a signal to a process and its children. */
export function signalTree(pid: number, name: NodeJS.Signals): void {
  for (const each of [pid, ...childrenOf(pid)]) signal(each, name);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** By /proc: the harness runs on Linux. */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // The program's name is in brackets and may hold anything: the parent's pid is the second word after it.
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parent = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1];
      return Number(parent) === pid ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

/**
 * A port that nobody listens on now, below those that systems give to outgoing connections: what is started again on it
 * must find it as free.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** Repeats `attempt` every 20 ms, or `everyMs`, until it does not reject; rejects after `withinMs`. */
export async function until<T>(
  what: string,
  withinMs: number,
  attempt: () => Promise<T>,
  everyMs = 20,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw new Error(`${what} took too long`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }
}
