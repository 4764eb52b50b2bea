/**
 * Point 4 of the guarantee. Without Redis every answer is the same as with it. Without PostgreSQL it is 503 with
 * Retry-After within a second, and correct again two seconds after PostgreSQL has returned. Discovery and keys are
 * always answered. No process ends by itself.
 */
import { callsOf, faultsOf, type Violation } from './checker.ts';
import type { Call, Event, Fault, Period } from './history.ts';
import { lossesIn } from './losses.ts';
import { awayByItself, isByItself, slowByItself } from './probes.ts';

/** From the return of PostgreSQL, or of a provider, to full service. */
export const recoveryMs = 2000;
const longestWaitMs = 1000;
/** For a database that answers, but confirms no writes: as long as for one that is slow. */
const longestSlowMs = 5000;
/** What a request and its answer may take on this machine beside the server's own wait. */
const transportMs = 100;
/** A process that takes this long for what needs no storage sees timeouts where there were none. */
const starvedMs = 500;
/** A machine is busy for some time. */
const busyMs = 5000;

export const published = new Set(['discovery', 'jwks', 'paseto keys']);

export function checkServed(events: readonly Event[]): Violation[] {
  const faults = withoutEchoes(faultsOf(events));
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
  const { isUncertain } = lossesIn(events);
  const gaveUp = events.flatMap((event) =>
    event.type === 'gave_up' && !event.subjects.some(isUncertain)
      ? [{ point: 4 as const, rule: 'nobody answered for 30 s', subject: event.op, evidence: [event] }]
      : [],
  );
  return [...violations, ...died, ...gaveUp];
}

/** PostgreSQL is noticed to be away while a fault is injected, too. That excuses nothing beyond the injected fault. */
function withoutEchoes(faults: Fault[]): Fault[] {
  const injected = faults.filter((fault) => fault.target === 'postgres' && !isByItself(fault));
  return faults.filter(
    ({ name, at, until }) =>
      name !== awayByItself ||
      !injected.some((other) => at <= other.until + recoveryMs && until >= other.at - recoveryMs),
  );
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
      slowness(call, events) > starvedMs ||
      isBusy(call, faults, events);
    if (!excused) return '503 though PostgreSQL was there';
  }
  const waitedMs = waited(call, during);
  if (during.length === 0 || waitedMs <= longestWaitMs + transportMs) return undefined;
  const isSlow = mayBeSlow(call, during) || isBusy(call, faults, events);
  const mayWaitMs = isSlow ? longestSlowMs : longestWaitMs;
  if (waitedMs > mayWaitMs + transportMs + slowness(call, events))
    return `waited longer than ${mayWaitMs} ms for storage`;
  return undefined;
}

/** How long a call was held up: from the fault on, where that came while it was under way. */
function waited(call: Call, during: readonly Fault[]): number {
  return call.at + call.ms - Math.max(call.at, ...during.map(({ at }) => at));
}

/** Whether PostgreSQL answered slowly: while no standby confirmed, or by itself while nothing else was wrong with it. */
function mayBeSlow(call: Call, during: readonly Fault[]): boolean {
  const isInjected = during.some((fault) => fault.target === 'postgres' && !isByItself(fault));
  return during.some(
    ({ name, stalls }) => stalls && overlaps(call, stalls) && !(isInjected && name === slowByItself),
  );
}

const overlaps = (call: Call, { from, until }: Period): boolean =>
  call.at <= until + recoveryMs && call.at + call.ms >= from;

/** The faults that a call may have met. */
export const around = (call: Call, faults: readonly Fault[]): Fault[] =>
  faults.filter(({ at, until }) => call.at <= until + recoveryMs && call.at + call.ms >= at);

/**
 * Whether the machine had too much to do around the call: PostgreSQL was slow by itself, or what needs no storage took long at a
 * process with which nothing was wrong. Then a probe may be late that decides whether PostgreSQL is there.
 */
function isBusy(call: Call, faults: readonly Fault[], events: readonly Event[]): boolean {
  const isNear = (at: number) => Math.abs(at - call.at) < busyMs;
  if (faults.some((each) => each.name === slowByItself && isNear(each.at) && !isEcho(each, faults)))
    return true;
  return callsOf(events).some(
    (other) =>
      published.has(other.op) &&
      isNear(other.at) &&
      other.ms > starvedMs &&
      !around(other, faults).some(({ target }) => target === `provider ${other.via}`),
  );
}

/** Whether PostgreSQL was slow because of an injected fault: that says nothing about the machine. */
const isEcho = (slow: Fault, faults: readonly Fault[]): boolean =>
  faults.some(
    (other) =>
      other.target === 'postgres' && !isByItself(other) && slow.at <= other.until && slow.until >= other.at,
  );

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
