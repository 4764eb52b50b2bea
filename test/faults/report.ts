/** The figures of a run, for people and as JSON. */

import { around, recoveryMs } from './check_served.ts';
import { callsOf, faultsOf, type Point, type Violation } from './checker.ts';
import type { Call, Event, Target } from './history.ts';
import { isByItself } from './probes.ts';

export interface Report {
  seed: number;
  seconds: number;
  /** Requests by what they were for. */
  requests: Record<string, number>;
  operations: Record<string, { done: number; interrupted: number }>;
  faults: Record<string, number>;
  /** Milliseconds, by what was away meanwhile. */
  latency: Record<string, { requests: number; p50: number; p99: number; most: number }>;
  rotations: number;
  /** How often PostgreSQL was slow without a fault: a machine with too much to do, whose 503s are excused. */
  slowByItself: number;
  /** What a refresh run is about, counted from the violations. */
  lost: number;
  double: number;
  loggedOut: number;
  violations: Record<Point, number>;
}

const isDouble = /used twice|two successors|rotated twice/;
const isLoggedOut = /^an honest/;

type Counts<T> = Map<string, T>;

export function reportOf(
  run: { seed: number; seconds: number },
  events: readonly Event[],
  counted: { operations: Counts<{ done: number; interrupted: number }>; faults: Counts<number> },
  violations: readonly Violation[],
): Report {
  const calls = callsOf(events);
  const violated = (point: Point) => violations.filter((violation) => violation.point === point).length;
  const requests: Record<string, number> = {};
  for (const { op } of calls) requests[op] = (requests[op] ?? 0) + 1;
  return {
    ...run,
    requests: sorted(requests),
    operations: sorted(Object.fromEntries(counted.operations)),
    faults: sorted(Object.fromEntries(counted.faults)),
    latency: latencies(events),
    rotations: new Set(calls.flatMap(({ presents, yields }) => (presents && yields ? [yields] : []))).size,
    slowByItself: slowWithoutFault(events),
    lost: violated(3),
    double: violations.filter(({ rule }) => isDouble.test(rule)).length,
    loggedOut: violations.filter(({ rule }) => isLoggedOut.test(rule)).length,
    violations: { 1: violated(1), 2: violated(2), 3: violated(3), 4: violated(4) },
  };
}

function latencies(events: readonly Event[]): Report['latency'] {
  const faults = faultsOf(events);
  const groups: Record<string, number[]> = {};
  for (const call of callsOf(events)) {
    const away = whatWasAway(call, new Set(around(call, faults).map(({ target }) => target)));
    if (!away) continue;
    groups[away] = groups[away] ?? [];
    groups[away].push(call.ms);
  }
  return Object.fromEntries(
    Object.entries(groups).map(([name, values]) => {
      values.sort((a, b) => a - b);
      const at = (share: number) =>
        values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;
      return [name, { requests: values.length, p50: at(0.5), p99: at(0.99), most: at(1) }];
    }),
  );
}

/** Undefined where the asked process itself was away: its silence measures nothing. */
function whatWasAway(call: Call, targets: ReadonlySet<Target>): string | undefined {
  if (targets.has(`provider ${call.via}` as Target)) return undefined;
  if (targets.has('postgres')) return 'PostgreSQL away';
  if (targets.has('redis')) return 'Redis away';
  return 'all there';
}

function slowWithoutFault(events: readonly Event[]): number {
  const faults = faultsOf(events).filter(({ target }) => target === 'postgres');
  const injected = faults.filter((fault) => !isByItself(fault));
  return faults.filter(
    (slow) =>
      isByItself(slow) &&
      !injected.some(({ at, until }) => slow.at <= until + recoveryMs && slow.until >= at),
  ).length;
}

const sorted = <T>(counts: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(counts).sort(([a], [b]) => a.localeCompare(b)));

export function asText(report: Report): string {
  const total = (counts: Record<string, number>) =>
    Object.values(counts).reduce((sum, count) => sum + count, 0);
  const list = (counts: Record<string, number>) =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  const operations = Object.fromEntries(
    Object.entries(report.operations).map(([name, { done, interrupted }]) => [name, done + interrupted]),
  );
  const latency = Object.entries(report.latency).map(
    ([name, { requests, p50, p99, most }]) =>
      `  ${name}: p50 ${p50} ms, p99 ${p99} ms, most ${most} ms (${requests} requests)`,
  );
  const points = Object.entries(report.violations).map(([point, count]) => `point ${point}: ${count}`);
  return [
    `seed ${report.seed}, ${report.seconds} s`,
    `operations ${total(operations)}: ${list(operations)}`,
    `requests ${total(report.requests)}`,
    `rotations ${report.rotations}: lost ${report.lost}, double ${report.double}, honest clients logged out ${report.loggedOut}`,
    `faults ${total(report.faults)}: ${list(report.faults)}`,
    'latency:',
    ...latency,
    `PostgreSQL slow without a fault: ${report.slowByItself}`,
    `violations ${Object.values(report.violations).reduce((sum, count) => sum + count, 0)} (${points.join(', ')})`,
  ].join('\n');
}
