/** Starts a server to measure as a child process on the server's core, waits until it answers, stops it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onServerCore } from './cores.ts';
import type { Stage } from './stage.ts';

export interface Running {
  pid: number;
  /** From the start of the process to the first answer. */
  readyMs: number;
  stop(): Promise<void>;
}

const startWithinMs = 30_000;

export interface ServerToStart {
  /** Its output goes to `<name>.log` in the stage's directory. */
  name: string;
  /** Of `node`. */
  args: string[];
  env: Record<string, string>;
  origin: string;
  /** What answers 200 once it is up. */
  path: string;
}

/** Starts it, and has the stage end it at the latest. Rejects with the end of its log where it does not come up. */
export async function startServer(
  stage: Pick<Stage, 'directory' | 'onClose'>,
  { name, args, env, origin, path }: ServerToStart,
): Promise<Running> {
  const log = join(stage.directory, `${name}.log`);
  const output = openSync(log, 'a');
  const begun = performance.now();
  const [command, commandArgs] = onServerCore(args);
  const child = spawn(command, commandArgs, {
    env: { PATH: process.env.PATH ?? '', NODE_ENV: 'production', ...env },
    stdio: ['ignore', output, output],
  });
  stage.onClose(() => stop(child));
  while (performance.now() < begun + startWithinMs && child.exitCode === null) {
    const answers = await fetch(origin + path).then(
      ({ ok }) => ok,
      () => false,
    );
    if (answers) {
      return { pid: Number(child.pid), readyMs: performance.now() - begun, stop: () => stop(child) };
    }
    await sleep(5);
  }
  await stop(child);
  throw new Error(`${name} did not come up:\n${readFileSync(log, 'utf8').slice(-2000)}`);
}

function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const late = setTimeout(() => child.kill('SIGKILL'), 5000);
    child.once('exit', () => {
      clearTimeout(late);
      resolve();
    });
    child.kill('SIGTERM');
  });
}
