/**
 * Point 4 of the guarantee. Without Redis every answer is the same as with it. Without PostgreSQL it is 503 with
 * Retry-After within a second, and correct again two seconds after PostgreSQL has returned. Discovery and keys are
 * always answered. No process ends by itself.
 */
import { callsOf, faultsOf, type Violation } from './checker.ts';
import type { Call, Event, Fault } from './history.ts';

/** From the return of PostgreSQL, or of a provider, to full service. */
export const recoveryMs = 2000;
const longestWaitMs = 1000;
/** What a request and its answer may take on this machine beside the server's own wait. */
const transportMs = 100;
/** A process that takes this long for what needs no storage sees timeouts where there were none. */
const starvedMs = 500;

const published = new Set(['discovery', 'jwks', 'paseto keys']);

export function checkServed(events: readonly Event[]): Violation[] {
  const faults = faultsOf(events);
  const violations = callsOf(events).flatMap((call) => {
    const rule = fault(call, faults, events);
    return rule
      ? [{ point: 4 as const, rule, subject: call.op, evidence: [...around(call, faults), call] }]
      : [];
  });
  const died = events.flatMap((event) =>
    event.type === 'died'
      ? [
          {
            point: 4 as const,
            rule: 'a process ended by itself',
            subject: `provider ${event.provider}`,
            evidence: [event],
          },
        ]
      : [],
  );
  const gaveUp = events.flatMap((event) =>
    event.type === 'gave_up'
      ? [{ point: 4 as const, rule: 'nobody answered for 30 s', subject: event.op, evidence: [event] }]
      : [],
  );
  return [...violations, ...died, ...gaveUp];
}

/** What is wrong with an answer, if anything. */
function fault(call: Call, faults: readonly Fault[], events: readonly Event[]): string | undefined {
  const during = around(call, faults);
  // The process that was asked is itself stopped, dead or starting: nobody is there to keep a promise.
  if (during.some(({ target }) => target === `provider ${call.via}`)) return undefined;
  if (call.status === 0) return 'no answer from a running process';
  if (call.status >= 500) {
    if (call.status !== 503 || !call.retryAfter) return `an answer with status ${call.status} for an outage`;
    if (published.has(call.op)) return 'discovery or keys refused';
    // A process that is stopped within a transaction keeps a person's row locked until PostgreSQL ends that.
    const excused =
      during.some(({ target, name }) => target === 'postgres' || name === 'pause provider') ||
      slowness(call, events) > starvedMs;
    if (!excused) return '503 though PostgreSQL was there';
  }
  const waitedMs = waited(call, during);
  if (
    during.length > 0 &&
    waitedMs > longestWaitMs + transportMs &&
    waitedMs > longestWaitMs + transportMs + slowness(call, events)
  )
    return `waited longer than ${longestWaitMs} ms for storage`;
  return undefined;
}

/** How long a call was held up: from the fault on, where that came while it was under way. */
function waited(call: Call, during: readonly Fault[]): number {
  return call.at + call.ms - Math.max(call.at, ...during.map(({ at }) => at));
}

/** The faults that a call may have met. */
export const around = (call: Call, faults: readonly Fault[]): Fault[] =>
  faults.filter(({ at, until }) => call.at <= until + recoveryMs && call.at + call.ms >= at);

/** How late the harness itself was meanwhile, or how slow the asked process was to answer what needs no storage. */
function slowness(call: Call, events: readonly Event[]): number {
  let [lateMs, slowMs] = [0, 0];
  for (const event of events) {
    const overlaps = 'ms' in event && event.at <= call.at + call.ms && event.at + event.ms >= call.at;
    if (!overlaps) continue;
    if (event.type === 'lag') lateMs += event.ms;
    else if (published.has(event.op) && event.via === call.via) slowMs = Math.max(slowMs, event.ms);
  }
  return lateMs + slowMs;
}
