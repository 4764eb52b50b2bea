/** Runs an npm script as a person does: in a child process that can be killed, with its own port and DATA_DIR. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';

const root = new URL('../..', import.meta.url).pathname;

/** Runs it in a process group of its own, so that a signal can be sent to all of it, as a terminal does. */
export const npmRun = (script: string, settings: Record<string, string>, cwd = root) =>
  runInGroup('npm', ['run', '--silent', script], settings, cwd);

/** Runs a command line on a terminal of its own: script(1) makes one. */
export const onTerminal = (command: string, settings: Record<string, string>) =>
  runInGroup('script', ['-qefc', command, '/dev/null'], { TERM: 'xterm', ...settings }, root);

function runInGroup(program: string, args: string[], settings: Record<string, string>, cwd: string) {
  const { PATH, HOME } = process.env;
  const begun = performance.now();
  const child = spawn(program, args, {
    cwd,
    env: { PATH, HOME, ...settings },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  const group = -Number(child.pid);
  const ended = once(child, 'exit').then(([code]) => Number(code));
  onTestFinished(() => {
    if (isAlive(group)) process.kill(group, 'SIGKILL');
  });
  return {
    ended,
    output: () => output,
    /** Resolves once every process of the group has gone; to npm's exit code. */
    async signal(name: NodeJS.Signals): Promise<number> {
      process.kill(group, name);
      const code = await ended;
      while (isAlive(group)) await sleep(10);
      return code;
    },
    /** Resolves when `condition` holds; to the milliseconds since the command. */
    async until(condition: () => Promise<boolean> | boolean): Promise<number> {
      while (!(await condition())) {
        if (child.exitCode !== null) throw new Error(`${program} ${args.join(' ')} ended: ${output}`);
        await sleep(10);
      }
      return Math.round(performance.now() - begun);
    },
  };
}

/** The pid of the embedded PostgreSQL on this DATA_DIR, while it lives. */
export async function postmasterOf(dataDir: string): Promise<number | undefined> {
  const text = await readFile(join(dataDir, 'postgres/data/postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  return pid > 0 && isAlive(pid) ? pid : undefined;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A port that is free, as are the `count - 1` after it. */
export async function freePorts(count = 1): Promise<number> {
  for (;;) {
    const first = await tryPort(0);
    const rest = await Promise.all(
      Array.from({ length: count - 1 }, (_, index) => tryPort(first + index + 1).catch(() => undefined)),
    );
    if (!rest.includes(undefined)) return first;
  }
}

async function tryPort(port: number): Promise<number> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}
