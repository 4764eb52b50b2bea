/**
 * Reads the history of a run and the database at its end, and names every violation of the guarantee:
 * 1 one branch of what is used once, and honest clients stay signed in; 2 what was ended stays ended; 3 what was
 * acknowledged is kept; 4 answers stay right and bounded while storage is away. Pure: the runs and the tests call it.
 */
import { checkEnded } from './check_ended.ts';
import { checkKept } from './check_kept.ts';
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
