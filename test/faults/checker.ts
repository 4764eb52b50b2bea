/**
 * Reads the history of a run and the database at its end, and finds every violation of the guarantee. Pure. The
 * guarantee:
 *
 * - 1: what can be used once has one successor at most, and honest clients stay signed in;
 * - 2: what was ended stays ended;
 * - 3: what was acknowledged is kept;
 * - 4: answers stay correct and in time while storage is away.
 */
import { checkEnded } from './check_ended.ts';
import { checkKept } from './check_kept.ts';
import { checkLockstep } from './check_lockstep.ts';
import { checkServed } from './check_served.ts';
import { checkSingleUse } from './check_single_use.ts';
import type { DatabaseFacts } from './database_facts.ts';
import type { Event } from './history.ts';

export type Point = 1 | 2 | 3 | 4;

export interface Violation {
  point: Point;
  rule: string;
  /** What it happened to. */
  subject: string;
  evidence: Event[];
}

export function check(events: readonly Event[], facts: DatabaseFacts): Violation[] {
  return [
    ...checkSingleUse(events, facts),
    ...checkLockstep(events),
    ...checkEnded(events),
    ...checkKept(events, facts),
    ...checkServed(events),
  ];
}

export const callsOf = (events: readonly Event[]) => events.filter((event) => event.type === 'call');
export const faultsOf = (events: readonly Event[]) => events.filter((event) => event.type === 'fault');

/** Groups by every key that an item has. */
export function groupBy<T>(items: readonly T[], keysOf: (item: T) => readonly string[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    for (const key of keysOf(item)) {
      const group = groups.get(key);
      if (group) group.push(item);
      else groups.set(key, [item]);
    }
  }
  return groups;
}
