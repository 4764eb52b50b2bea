/**
 * The states of a refresh token and what may happen in each: one table. Pure. store.ts reads the facts and makes the
 * transitions by conditional statements; oidc/ asks on behalf of the token endpoint.
 */

/** What PostgreSQL knows of a presented token, at one instant. Times are milliseconds since the epoch. */
export interface RefreshFacts {
  familyEndedAt: number | undefined;
  familyExpiresAt: number;
  expiresAt: number;
  usedAt: number | undefined;
  /** Whether the successor has been used. A used token always has one: both are written in one statement (store.ts). */
  successorUsed: boolean;
}

/**
 * - `ended`: its family is over (sign-out, revocation, theft, absolute life). Refused; there is nothing left to end.
 * - `expired`: idle for too long. Refused.
 * - `live`: never used. Rotates.
 * - `retry`: used, and the client evidently did not receive the answer. It gets the same successor again.
 * - `reuse`: used, and whoever holds the successor is somebody else or should have kept it. Refused; the family ends.
 */
export type RefreshState = 'ended' | 'expired' | 'live' | 'retry' | 'reuse';

interface Row {
  state: RefreshState;
  when(facts: RefreshFacts, now: number, leewayMs: number): boolean;
  because: string;
}

/** The first row that fits decides. */
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
    state: 'reuse',
    when: () => true,
    because: 'the successor is in use, or the repetition comes too late to be one (RFC 9700, section 4.14.2)',
  },
];

/** Which state the facts amount to. `leewayMs` 0 turns the leeway off. */
export function refreshState(facts: RefreshFacts, now: number, leewayMs: number): RefreshState {
  const row = refreshStates.find(({ when }) => when(facts, now, leewayMs));
  return row?.state ?? 'reuse';
}
