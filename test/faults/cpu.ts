/** CPU time of processes, read from /proc: the harness runs on Linux. */
import { readFile } from 'node:fs/promises';

/** sysconf(_SC_CLK_TCK), the same on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** User and system time of a process, or of those of its children that have ended and were waited for. */
export async function cpuSecondsOf(
  pid: number,
  whose: 'its own' | 'ended children' = 'its own',
): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The program's name is in brackets and may hold anything; utime is the twelfth word after it.
  const words = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const first = whose === 'its own' ? 11 : 13;
  return (Number(words[first]) + Number(words[first + 1])) / ticksPerSecond;
}
