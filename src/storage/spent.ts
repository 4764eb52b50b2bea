/** What may be used once and has been: the one gate in front of whatever is issued on the strength of it. */
import type { Query } from './database.ts';

/**
 * Marks `id` as used up, in the transaction of `query`. False where it was before: of any number of parallel uses one goes
 * on. Kept until `expiresAt` (milliseconds since the epoch), when it would not be taken any more in any case.
 */
export async function spend(query: Query, id: string, expiresAt: number): Promise<boolean> {
  const rows = await query(
    'insert into spent (id, expires_at) values ($1, $2) on conflict (id) do nothing returning id',
    [id, new Date(expiresAt)],
  );
  return rows.length === 1;
}
