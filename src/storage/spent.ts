/** What may be used once and has been: the one gate in front of whatever is issued on the strength of it. */
import { lifeSeconds } from '../lifetimes.ts';
import type { Query } from './database.ts';

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
