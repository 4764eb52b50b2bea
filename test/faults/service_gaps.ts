/** How long the service was away around each fault: from one answer that needed the storage to the next. */
import { published, recoveryMs } from './check_served.ts';
import { callsOf, faultsOf } from './checker.ts';
import type { Event, Fault } from './history.ts';
import { isByItself } from './probes.ts';

export interface ServiceGap {
  fault: string;
  /** Between two answers. */
  ms: number;
  /** From when the storage could serve again. */
  afterReturnMs: number;
}

/** The longest of all, and the one that was longest after the storage's return. */
export interface LongestGaps {
  longest: ServiceGap;
  slowest: ServiceGap;
}

/** Undefined without faults. */
export function longestGaps(events: readonly Event[]): LongestGaps | undefined {
  const answered = callsOf(events)
    .filter(({ op, status }) => !published.has(op) && status > 0 && status < 500)
    .map(({ at, ms }) => at + ms)
    .sort((a, b) => a - b);
  const gaps = faultsOf(events)
    .filter((fault) => (fault.target === 'postgres' || fault.target === 'redis') && !isByItself(fault))
    .map((fault) => gapAround(fault, answered));
  const most = (of: (gap: ServiceGap) => number) =>
    gaps.reduce<ServiceGap | undefined>(
      (one, other) => (one && of(one) >= of(other) ? one : other),
      undefined,
    );
  const [longest, slowest] = [most(({ ms }) => ms), most(({ afterReturnMs }) => afterReturnMs)];
  return longest && slowest && { longest, slowest };
}

function gapAround({ name, at, until }: Fault, answered: readonly number[]): ServiceGap {
  const gap: ServiceGap = { fault: name, ms: 0, afterReturnMs: 0 };
  for (let next = 1; next < answered.length; next++) {
    const [from, to] = [answered[next - 1] as number, answered[next] as number];
    if (to < at || from > until + recoveryMs) continue;
    gap.ms = Math.max(gap.ms, to - from);
    gap.afterReturnMs = Math.max(gap.afterReturnMs, to - Math.max(from, until));
  }
  return gap;
}
