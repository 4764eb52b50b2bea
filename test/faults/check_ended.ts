/**
 * Points 1 and 2 of the guarantee: once the request to end something was answered, nothing of it succeeds on any
 * instance. After the reuse of a stolen token, that holds within 1 s.
 */
import { callsOf, type Violation } from './checker.ts';
import type { Because, Ended, Event } from './history.ts';
import { lossesIn } from './losses.ts';

/** From the answer to the end of everything. */
const graceMs: Record<Because, number> = {
  revoked: 0,
  signed_out: 0,
  signed_out_everywhere: 0,
  password_changed: 0,
  disabled: 0,
  reuse: 1000,
};

export function checkEnded(events: readonly Event[]): Violation[] {
  const { mayBeLost, isUncertain } = lossesIn(events);
  const ends = new Map<string, Ended>();
  for (const event of events) {
    if (event.type !== 'ended' || mayBeLost(event.at)) continue;
    for (const subject of event.subjects) if (!ends.has(subject)) ends.set(subject, event);
  }
  return callsOf(events).flatMap((call) => {
    if (!call.succeeded) return [];
    return (call.subjects ?? []).flatMap((subject) => {
      const end = ends.get(subject);
      // Nobody can end a family that is not there any more: its access tokens are good until they expire.
      if (!end || isUncertain(subject) || call.at <= end.at + graceMs[end.because]) return [];
      return {
        point: end.because === 'reuse' ? (1 as const) : (2 as const),
        rule: `${call.op} succeeded ${Math.round(call.at - end.at)} ms after the end (${end.because})`,
        subject,
        evidence: [end, call],
      };
    });
  });
}
