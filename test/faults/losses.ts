/**
 * What a failover to an asynchronous standby may lose, and what follows from it. Where replication is synchronous there
 * are no such periods, and nothing is excused.
 */
import { callsOf, faultsOf } from './checker.ts';
import type { Call, Event, Period } from './history.ts';

export interface Losses {
  /** Whether what was acknowledged at that time may be gone. */
  mayBeLost(at: number): boolean;
  /** How often the same may have been done once more, because a failover had undone it. */
  undone(calls: readonly Call[]): number;
  /** Whether the subject, or what it is now, goes back to what may be lost. */
  isUncertain(subject: string): boolean;
}

/** A request that came in time may be noted later by so much. */
const lateMs = 1000;
export const answeredAt = ({ at, ms }: Call): number => at + ms;

export function lossesIn(events: readonly Event[]): Losses {
  const periods = merged(faultsOf(events).flatMap(({ loses = [] }) => loses));
  const isIn = ({ from, until }: Period, at: number) => from - lateMs <= at && at <= until + lateMs;
  const mayBeLost = (at: number) => periods.some((period) => isIn(period, at));
  const uncertain = new Set<string>();
  for (const event of periods.length > 0 ? events : []) {
    if (event.type === 'call') {
      if (event.succeeded && mayBeLost(answeredAt(event)))
        for (const subject of changedBy(event)) uncertain.add(subject);
    } else if (event.type === 'began' && mayBeLost(event.at)) {
      for (const subject of event.subjects) uncertain.add(subject);
    } else if (event.type === 'ended' && mayBeLost(event.at)) {
      // A password that was changed, an account that was disabled.
      const account = event.told?.split(' ')[1];
      if (account) uncertain.add(account);
    }
  }
  return {
    mayBeLost,
    undone(calls) {
      const answers = calls.map(answeredAt);
      // What was answered last was not done again, so nothing has undone it.
      const last = Math.max(...answers);
      return periods.filter((period) => answers.some((at) => at < last && isIn(period, at))).length;
    },
    isUncertain: (subject) => uncertain.has(subject),
  };
}

/** One failover may be noted twice: by the fault, and by the probe that could not write meanwhile. */
function merged(periods: readonly Period[]): Period[] {
  const all: Period[] = [];
  for (const period of periods.toSorted((a, b) => a.from - b.from)) {
    const last = all.at(-1);
    if (last && period.from <= last.until) last.until = Math.max(last.until, period.until);
    else all.push({ ...period });
  }
  return all;
}

/** Accounts and families that a call has begun. */
const changedBy = ({ creates }: Call): string[] =>
  creates ? [creates.replace('authenticator:', 'account:')] : [];

/** The families of which a rotation may be lost: of a token that was used then, the use may be forgotten. */
export function familiesSetBack(events: readonly Event[], { mayBeLost }: Losses): Set<string> {
  return new Set(
    callsOf(events).flatMap((call) =>
      call.succeeded && call.presents && mayBeLost(answeredAt(call)) ? (call.subjects ?? []) : [],
    ),
  );
}
