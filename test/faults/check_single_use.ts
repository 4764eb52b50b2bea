/**
 * Point 1 of the guarantee: whatever can be used once has one successor at most. An honest client that repeats a
 * request is never refused.
 */
import { callsOf, groupBy, type Violation } from './checker.ts';
import type { DatabaseFacts } from './database_facts.ts';
import type { Call, Event } from './history.ts';
import { familiesSetBack, type Losses, lossesIn } from './losses.ts';

export function checkSingleUse(events: readonly Event[], facts: DatabaseFacts): Violation[] {
  const calls = callsOf(events);
  const violations: Violation[] = [];
  const report = (rule: string, subject: string, evidence: Event[]) =>
    violations.push({ point: 1, rule, subject, evidence });

  const losses = lossesIn(events);
  const setBack = familiesSetBack(events, losses);
  const succeeded = calls.filter((call) => call.succeeded);
  for (const [use, group] of groupBy(succeeded, ({ uses = [] }) => uses)) {
    if (group.length > 1 + losses.undone(group)) report('used twice', use, group);
  }
  for (const [token, group] of groupBy(succeeded, ({ presents }) => (presents ? [presents] : []))) {
    // After a rotation of keys the one successor is sealed with another key, and reads otherwise.
    for (const [, alike] of groupBy(group, ({ sealedBy }) => [sealedBy ?? '']))
      if (new Set(alike.map((call) => call.yields)).size > 1 + losses.undone(alike))
        report('two successors of one refresh token or device code', token, alike);
  }
  for (const [family, group] of groupBy(calls, ({ subjects = [] }) => subjects.filter(isFamily))) {
    const { tokens } = facts.families.get(family.replace('family:', '')) ?? { tokens: 0 };
    const presented = new Set(group.flatMap(({ presents }) => (presents ? [presents] : [])));
    if (tokens > presented.size + 1) report('a refresh token was rotated twice', family, group.slice(-5));
  }
  for (const name of facts.auditedTwice) report('twice in the audit log', `account:${name}`, []);
  for (const call of succeeded) {
    const isForgotten = (subject: string) => setBack.has(subject) || losses.isUncertain(subject);
    if (call.mustFail && !call.subjects?.some(isForgotten))
      report('what must be refused was answered', call.presents ?? call.uses?.join() ?? call.op, [call]);
  }
  for (const call of unjustlyRefused(events, losses))
    report(`an honest ${call.op} was refused`, call.subjects?.join() ?? call.op, [call]);
  return violations;
}

const isFamily = (subject: string): boolean => subject.startsWith('family:');

/** Refusals of those who are entitled to an answer, and whose session or family nobody has put in doubt. */
function unjustlyRefused(events: readonly Event[], { isUncertain }: Losses): Call[] {
  const doubtful = new Map<string, number>();
  for (const event of events) {
    if (event.type !== 'doubt' && event.type !== 'ended') continue;
    for (const subject of event.subjects) {
      doubtful.set(subject, Math.min(event.at, doubtful.get(subject) ?? Number.POSITIVE_INFINITY));
    }
  }
  return callsOf(events).filter(
    (call) =>
      call.honestSince !== undefined &&
      !call.succeeded &&
      call.status >= 200 &&
      call.status < 500 &&
      !(call.subjects ?? []).some(
        (subject) =>
          isUncertain(subject) || (doubtful.get(subject) ?? Number.POSITIVE_INFINITY) <= call.at + call.ms,
      ),
  );
}
