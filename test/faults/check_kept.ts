/** Point 3 of the guarantee: what was acknowledged is in the database at the end, whatever was killed in between. */
import { callsOf, groupBy, type Violation } from './checker.ts';
import type { DatabaseFacts } from './database_facts.ts';
import type { Call, Ended, Event } from './history.ts';
import { answeredAt, lossesIn } from './losses.ts';

export function checkKept(events: readonly Event[], facts: DatabaseFacts): Violation[] {
  const { mayBeLost } = lossesIn(events);
  const all = callsOf(events).filter((call) => call.succeeded);
  const tokens = namesOfTokens(all);
  const acknowledged = all.filter((call) => !mayBeLost(answeredAt(call)));
  const violations: Violation[] = [];
  const report = (rule: string, subject: string, evidence: Event[]) =>
    violations.push({ point: 3, rule, subject, evidence });

  for (const call of acknowledged) {
    if (call.creates && !isKept(call.creates, facts))
      report('an acknowledged write is lost', call.creates, [call]);
  }
  for (const [family, group] of groupBy(acknowledged, familyOf)) {
    const names = new Set(group.map(({ yields = '' }) => tokens.get(yields)));
    if ((facts.families.get(idOf(family))?.tokens ?? 0) < names.size)
      report('an acknowledged refresh token is lost', family, group.slice(-5));
  }
  const ends = events.filter((event): event is Ended => event.type === 'ended' && !mayBeLost(event.at));
  for (const [what, group] of groupBy(ends, ({ told }) => (told ? [told] : []))) {
    if ((facts.told.get(what) ?? 0) < group.length)
      report('an acknowledged end is not in the audit log', what, group);
  }
  const uses = acknowledged.flatMap((call) => (call.uses ?? []).map((use) => ({ use, call })));
  for (const { use, call } of uses) {
    const [kind, name = '', step] = use.split(':');
    if (kind === 'totp' && (facts.accounts.get(name)?.lastStep ?? 0) < Number(step))
      report('an acknowledged TOTP step is forgotten', use, [call]);
  }
  const recoveries = uses.filter(({ use }) => use.startsWith('recovery:'));
  for (const [name, group] of groupBy(recoveries, ({ use }) => [use.split(':')[1] ?? ''])) {
    if ((facts.accounts.get(name)?.recoveryCodesUsed ?? 0) < group.length)
      report(
        'an acknowledged recovery code is forgotten',
        name,
        group.map(({ call }) => call),
      );
  }
  return violations;
}

/** Each token by what it was refreshed from: after a rotation of keys the same one reads otherwise. */
function namesOfTokens(calls: readonly Call[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const { presents, yields } of calls) {
    if (yields) names.set(yields, presents ? `after ${names.get(presents) ?? presents}` : yields);
  }
  return names;
}

function isKept(subject: string, { accounts, families }: DatabaseFacts): boolean {
  const id = idOf(subject);
  if (subject.startsWith('account:')) return accounts.has(id);
  if (subject.startsWith('authenticator:')) return accounts.get(id)?.confirmed === true;
  return families.has(id);
}

const idOf = (subject: string): string => subject.slice(subject.indexOf(':') + 1);

const familyOf = ({ yields, subjects = [] }: Call): string[] =>
  yields ? subjects.filter((subject) => subject.startsWith('family:')) : [];
