/**
 * The ids of things that may be used once and were used: codes, step tokens, signed requests. Mark the use before you
 * issue anything for it: of two parallel uses only one may succeed.
 */
import { lifeSeconds } from '../lifetimes.ts';
import type { Query } from './database.ts';
import type { Statement } from './statement.ts';

/**
 * Marks `id` as used, in the transaction of `query`. Returns false if it was used before. Of any number of parallel
 * uses one succeeds. `expiresAt`: when the thing expires, in milliseconds since the epoch. The mark is kept longer,
 * because a clock that is set back would make the thing valid again.
 */
export async function spend(query: Query, id: string, expiresAt: number): Promise<boolean> {
  const rows = await query(
    'insert into spent (id, expires_at) values ($1, $2) on conflict (id) do nothing returning id',
    [id, new Date(expiresAt + lifeSeconds.clockMargin * 1000)],
  );
  return rows.length === 1;
}

/**
 * The same as a statement, to be combined with other writes. If `id` was used before, all of them fail with an error
 * that `isSpentBefore` recognizes. The mark is kept for `seconds` from now, plus the margin for the clock.
 */
export const spending = (id: string, seconds: number): Statement => ({
  text: 'insert into spent (id, expires_at) values ($1, clock_timestamp() + make_interval(secs => $2)) returning id',
  values: [id, seconds + lifeSeconds.clockMargin],
});

/** Whether a write failed because its `id` was used before. */
export const isSpentBefore = (error: unknown): boolean =>
  error instanceof Error && 'constraint' in error && error.constraint === 'spent_pkey';
