/**
 * The states of a presented refresh token, as one table. Pure. The store reads the facts and makes the transitions by
 * conditional statements. The token endpoint decides by the state what it answers.
 */

/** What PostgreSQL knows about a presented token at one moment. Times are milliseconds since the epoch. */
export interface RefreshFacts {
  familyEndedAt: number | undefined;
  familyExpiresAt: number;
  expiresAt: number;
  usedAt: number | undefined;
  /** Whether the successor was used. A used token always has a successor, because one statement writes both. */
  successorUsed: boolean;
  /** Until when the request may be repeated, if an outage may have lost its answer. */
  repeatableUntil?: number | undefined;
}

/**
 * - `ended`: the family has ended (sign-out, revocation, theft, end of its lifetime). Refused. There is nothing left
 *   to end.
 * - `expired`: unused for too long. Refused.
 * - `live`: never used. It rotates.
 * - `retry`: used, and the client probably did not receive the answer. It gets the same successor again.
 * - `reuse`: used, and the request is not a retry. It may come from a thief. Refused, and the family ends.
 */
export type RefreshState = 'ended' | 'expired' | 'live' | 'retry' | 'reuse';

interface Row {
  state: RefreshState;
  when(facts: RefreshFacts, now: number, leewayMs: number): boolean;
  because: string;
}

/** The table. The first row whose condition is true decides. */
export const refreshStates: readonly Row[] = [
  {
    state: 'ended',
    when: (facts, now) => facts.familyEndedAt !== undefined || facts.familyExpiresAt <= now,
    because: 'an ended family never comes back, and says nothing more of its tokens',
  },
  {
    state: 'live',
    when: (facts, now) => facts.usedAt === undefined && facts.expiresAt > now,
    because: 'nobody has used it: its holder is the only one',
  },
  {
    state: 'expired',
    when: (facts) => facts.usedAt === undefined,
    because: 'unused beyond its idle life; no sign of theft',
  },
  {
    state: 'retry',
    when: (facts, now, leewayMs) =>
      !facts.successorUsed && leewayMs > 0 && now - (facts.usedAt ?? 0) < leewayMs,
    because: 'a lost answer or a second tab repeats at once; both get the one successor, so no branch arises',
  },
  {
    state: 'retry',
    when: (facts, now, leewayMs) =>
      !facts.successorUsed && leewayMs > 0 && now < (facts.repeatableUntil ?? Number.NEGATIVE_INFINITY),
    because:
      'the service could not answer when the token was used: the leeway counts only time in which it could',
  },
  {
    state: 'reuse',
    when: () => true,
    because: 'the successor is in use, or the repetition comes too late to be one (RFC 9700, section 4.14.2)',
  },
];

/**
 * The state that follows from the facts. `now`: milliseconds since the epoch. With `leewayMs` 0 there are no retries.
 */
export function refreshState(facts: RefreshFacts, now: number, leewayMs: number): RefreshState {
  const row = refreshStates.find(({ when }) => when(facts, now, leewayMs));
  return row?.state ?? 'reuse';
}
