/** What may be used once and has been: the one gate in front of whatever is issued on the strength of it. */
import { lifeSeconds } from '../lifetimes.ts';
import type { Query } from './database.ts';
import type { Statement } from './statement.ts';

/**
 * Marks `id` as used up, in the transaction of `query`. False where it was before: of any number of parallel uses one goes
 * on. `expiresAt`: when it would not be accepted any more in any case, in milliseconds since the epoch. The mark is kept
 * longer, because a clock that is set back makes what it stands for valid again.
 */
export async function spend(query: Query, id: string, expiresAt: number): Promise<boolean> {
  const rows = await query(
    'insert into spent (id, expires_at) values ($1, $2) on conflict (id) do nothing returning id',
    [id, new Date(expiresAt + lifeSeconds.clockMargin * 1000)],
  );
  return rows.length === 1;
}

/**
 * The same as a statement, for whoever commits it with other writes: all of them fail where `id` was used before, with an
 * error that `isSpentBefore` knows. Kept for `seconds` from now, and the margin.
 */
export const spending = (id: string, seconds: number): Statement => ({
  text: 'insert into spent (id, expires_at) values ($1, clock_timestamp() + make_interval(secs => $2)) returning id',
  values: [id, seconds + lifeSeconds.clockMargin],
});

/** Whether a write failed because what it would have used up was used before. */
export const isSpentBefore = (error: unknown): boolean =>
  error instanceof Error && 'constraint' in error && error.constraint === 'spent_pkey';
