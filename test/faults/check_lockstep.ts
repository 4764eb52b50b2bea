/**
 * Point 1 of the guarantee, for a thief who follows an app in lockstep: of two who use the same token, the second one is
 * refused once the leeway is over. An outage puts that off, until as long after its end as it lasted, or as the leeway.
 */
import { published } from './check_served.ts';
import { callsOf, type Violation } from './checker.ts';
import type { Event, Period } from './history.ts';
import { familiesSetBack, lossesIn } from './losses.ts';
import { leewayMs } from './operations_lockstep.ts';

/** An instance that was killed is taken for dead so long after its last heartbeat: that is when its outage ends. */
const deadAfterMs = 8000;
/** What is shorter makes no outage: for that, heartbeats are missing for three seconds. */
const shortMs = 1000;
/** Heartbeats come a second apart, and on a busy machine later. */
const heartbeatMs = 2000;
/** The answer may be lost that was under way when the outage began. */
const underWayMs = 2000;

export function checkLockstep(events: readonly Event[]): Violation[] {
  const outages = outagesIn(events);
  const setBack = familiesSetBack(events, lossesIn(events));
  return callsOf(events).flatMap((call) => {
    if (!call.repeats || !call.succeeded || call.subjects?.some((subject) => setBack.has(subject))) return [];
    if (call.at <= allowedUntil(call.repeats, outages)) return [];
    const rule = `a thief in lockstep was answered ${Math.round(call.at - call.repeats.until)} ms later`;
    return { point: 1 as const, rule, subject: call.subjects?.join() ?? call.op, evidence: [call] };
  });
}

/** Until when the token may be repeated that was used in this period. */
function allowedUntil({ from, until }: Period, outages: readonly Period[]): number {
  const met = outages.filter(
    (outage) => outage.from <= until + leewayMs + underWayMs && outage.until >= from,
  );
  const ends = met.map((outage) => outage.until + Math.max(leewayMs, outage.until - outage.from));
  return Math.max(until + leewayMs, ...ends);
}

/** Where an instance may have found that its heartbeats were not confirmed. */
function outagesIn(events: readonly Event[]): Period[] {
  const around = (from: number, to: number) => ({ from: from - heartbeatMs, until: to + heartbeatMs });
  return events.flatMap((event) => {
    if (event.type === 'call')
      return published.has(event.op) && event.ms > shortMs ? [around(event.at, event.at + event.ms)] : [];
    if (event.type !== 'fault' || event.target === 'redis') return [];
    if (event.name === 'kill provider')
      return [around(event.at, Math.max(event.until, event.at + deadAfterMs))];
    return event.until - event.at > shortMs ? [around(event.at, event.until)] : [];
  });
}
