/** What processes have used of the machine so far, from /proc (Linux). */
import { readdirSync, readFileSync } from 'node:fs';

/** CPU seconds, user and system, by part. */
export interface Usage {
  server: number;
  postgres: number;
  redis: number;
}

/** USER_HZ: proc_pid_stat(5) counts in it, and it is 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** The fields after the command's name, which may itself hold spaces and brackets. */
function stat(pid: number | string): number[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
}

const [parent, user, system, endedUser, endedSystem] = [1, 11, 12, 13, 14];
const seconds = (fields: number[], which: number[]): number =>
  which.reduce((total, field) => total + (fields[field] ?? 0), 0) / ticksPerSecond;

/** CPU seconds of one process and all its threads. */
export const ofProcess = (pid: number): number => seconds(stat(pid), [user, system]);

/** CPU seconds of a process and its children, those that have ended included. */
export function ofFamily(pid: number): number {
  let total = seconds(stat(pid), [user, system, endedUser, endedSystem]);
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const fields = stat(name);
      if (fields[parent] === pid) total += seconds(fields, [user, system]);
    } catch {
      // It has ended in between; its parent has its time.
    }
  }
  return total;
}

/** Resident memory of a process, in MB. */
export function residentMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1]) / 1024;
}

export const minus = (after: Usage, before: Usage): Usage => ({
  server: after.server - before.server,
  postgres: after.postgres - before.postgres,
  redis: after.redis - before.redis,
});

export function add(to: Usage, more: Usage): void {
  to.server += more.server;
  to.postgres += more.postgres;
  to.redis += more.redis;
}
