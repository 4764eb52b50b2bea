/** One provider process. It is started again whenever it ends, as a service manager would do. */
import type { ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import type { History } from './history.ts';
import { killTree, signalTree, start, until } from './processes.ts';

export interface ProviderProcess {
  port: number;
  kill(): void;
  /** Resolves when it answers after `kill`. */
  restarted(): Promise<void>;
  pause(): void;
  resume(): Promise<void>;
  /** Sets its clock off from the machine's, from now on and after every restart. */
  shiftClock(shiftMs: number): void;
  stop(): Promise<void>;
}

export interface ProviderOptions {
  number: number;
  port: number;
  env: Record<string, string>;
  /** Its main module. */
  server: string;
  logFile: string;
  history: History;
}

const root = join(import.meta.dirname, '../..');
/** What a process of the product loads first: see there. */
export const preload = join(import.meta.dirname, 'provider_preload.ts');
const restartAfterMs = 250;

/** Starts the process; resolves when it answers. */
export async function startProvider(options: ProviderOptions): Promise<ProviderProcess> {
  const { port, history } = options;
  const log = createWriteStream(options.logFile, { flags: 'a' });
  let child: ChildProcess;
  let expected = false;
  let ready = false;
  let clockMs = 0;
  let stopping = false;

  function launch(): void {
    ready = false;
    expected = false;
    const launched = start(process.execPath, ['--import', preload, options.server], {
      cwd: root,
      env: { PATH: process.env.PATH, PORT: String(port), ...options.env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    child = launched;
    launched.send({ shiftMs: clockMs });
    launched.stdout?.pipe(log, { end: false });
    launched.stderr?.pipe(log, { end: false });
    launched.on('error', () => {});
    launched.once('exit', (code) => {
      // One that cannot start because PostgreSQL is away ends with an error, and is tried again.
      if (ready && !expected)
        history.add({ type: 'died', at: history.now(), provider: options.number, code });
      if (!stopping) setTimeout(() => !stopping && launch(), restartAfterMs);
    });
  }
  async function answers(): Promise<void> {
    await until(`provider ${options.number}`, 300_000, () => alive(port));
    ready = true;
  }
  launch();
  await answers();
  return {
    port,
    kill() {
      expected = true;
      killTree(child.pid as number);
    },
    restarted: answers,
    pause: () => signalTree(child.pid as number, 'SIGSTOP'),
    async resume() {
      signalTree(child.pid as number, 'SIGCONT');
      await answers();
    },
    shiftClock(shiftMs) {
      clockMs = shiftMs;
      if (child.connected) child.send({ shiftMs });
    },
    async stop() {
      stopping = true;
      expected = true;
      if (child.exitCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    },
  };
}

function alive(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get({ port, host: '127.0.0.1', path: '/health/live', timeout: 1000 }, (answer) => {
      answer.resume();
      answer.statusCode === 200 ? resolve() : reject(new Error(`status ${answer.statusCode}`));
    });
    request.once('timeout', () => request.destroy(new Error('timeout')));
    request.once('error', reject);
  });
}
