/** Where things run: the measured server on one core, everything else of the run on the other one. */
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { findOnPath } from '../support/programs.ts';

const serverCore = '0';
const otherCore = '1';
const taskset = availableParallelism() > 1 ? findOnPath('taskset') : undefined;

/** Moves this process to the other core; what it starts from now on runs there too, unless it is pinned. */
export function leaveServerCore(): void {
  if (taskset) execFileSync(taskset, ['-acp', otherCore, String(process.pid)], { stdio: 'ignore' });
}

/** The command line that runs Node on the server's core. */
export const onServerCore = (args: string[]): [string, string[]] =>
  taskset ? [taskset, ['-c', serverCore, process.execPath, ...args]] : [process.execPath, args];

/** For the output. */
export const placement = taskset
  ? `server on core ${serverCore}; load, PostgreSQL and Redis on core ${otherCore}`
  : 'nothing is pinned: there is no taskset here, or one core only; ratios are rough';
