import { expect, test } from 'vitest';
import {
  type RefreshFacts,
  type RefreshState,
  refreshState,
  refreshStates,
} from '../../src/refresh/states.ts';

const now = 1_000_000;
const leewayMs = 10_000;
const [past, instant, future] = [now - 1, now, now + 1];

/** Every combination of what can be known of a token, each time before, at and after now. */
function* everyCombination(): Generator<RefreshFacts> {
  for (const familyEndedAt of [undefined, past, future])
    for (const familyExpiresAt of [past, instant, future])
      for (const expiresAt of [past, instant, future])
        for (const usedAt of [
          undefined,
          now - leewayMs - 1,
          now - leewayMs,
          now - leewayMs + 1,
          now,
          now + 1,
        ])
          for (const successorUsed of [false, true])
            for (const repeatableUntil of [undefined, past, instant, future])
              yield { familyEndedAt, familyExpiresAt, expiresAt, usedAt, successorUsed, repeatableUntil };
}

/** The rules in the words of the promise, apart from the table and its order. */
function promised(facts: RefreshFacts, leeway: number): RefreshState {
  const { familyEndedAt, familyExpiresAt, expiresAt, usedAt, successorUsed, repeatableUntil = 0 } = facts;
  if (familyEndedAt !== undefined || familyExpiresAt <= now) return 'ended';
  if (usedAt === undefined) return expiresAt > now ? 'live' : 'expired';
  const isInTime = usedAt > now - leeway || repeatableUntil > now;
  return !successorUsed && isInTime ? 'retry' : 'reuse';
}

test.each([leewayMs, 60_000])(
  'every combination of facts is in the promised state (leeway %i ms)',
  (leeway) => {
    const seen = new Set<RefreshState>();
    for (const facts of everyCombination()) {
      const state = refreshState(facts, now, leeway);
      seen.add(state);
      expect({ ...facts, state }).toEqual({ ...facts, state: promised(facts, leeway) });
    }
    expect([...seen].sort()).toEqual(['ended', 'expired', 'live', 'retry', 'reuse']);
  },
);

test('without a leeway a used token is always theft', () => {
  for (const facts of everyCombination()) {
    const alive = facts.familyEndedAt === undefined && facts.familyExpiresAt > now;
    if (!alive || facts.usedAt === undefined) continue;
    expect(refreshState(facts, now, 0)).toBe('reuse');
  }
});

test('whatever happens to a family that has ended or outlived itself, none of its tokens is of use', () => {
  for (const facts of everyCombination()) {
    const over = facts.familyEndedAt !== undefined || facts.familyExpiresAt <= now;
    if (over) expect(refreshState(facts, now, leewayMs)).toBe('ended');
  }
});

test('a successor in use is never handed out a second time', () => {
  for (const facts of everyCombination()) {
    if (facts.usedAt === undefined || facts.successorUsed !== true) continue;
    expect(['ended', 'reuse']).toContain(refreshState(facts, now, leewayMs));
  }
});

test('each row says why, and none is out of reach', () => {
  const reached = new Set<number>();
  for (const facts of everyCombination())
    reached.add(refreshStates.findIndex(({ when }) => when(facts, now, leewayMs)));
  expect([...reached].sort()).toEqual(refreshStates.map((_, index) => index));
  for (const { because } of refreshStates) expect(because.length).toBeGreaterThan(20);
});
