/** Ends a session, and everything that was granted only for its duration. */
import { sha256 } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import { type Authorizations, grantsOf } from '../sessions/authorizations.ts';
import type { Query } from '../storage/database.ts';
import { endGrant } from './ends.ts';

/**
 * Ends the families that were granted for the duration of a session, and their access tokens. The session must have
 * ended in an earlier statement. That statement waits for families that are just beginning, and only a later one sees
 * them.
 */
async function endGranted(within: Query, uid: string, nowMs: number): Promise<void> {
  await within(
    `with families as (
       update refresh_families set ended_at = $2, ended_because = 'signed_out'
       where session_uid = $1 and not offline and ended_at is null returning id)
     insert into revocations (subject, expires_at)
       select 'family:' || id, $3::timestamptz from families union all select 'session:' || $1, $3
     on conflict (subject) do update set expires_at = excluded.expires_at`,
    [uid, new Date(nowMs), new Date(nowMs + lifeSeconds.revocation * 1000)],
  );
}

/**
 * Ends the session with this id, in the transaction of `within`. It does not end the session's grants: the library
 * does that at a sign-out, one by one. `nowMs`: milliseconds since the epoch.
 */
export async function endSessionById(within: Query, id: string, nowMs: number): Promise<void> {
  const [ended] = await within<{ uid: string }>(
    'update sessions set ended_at = $2 where id_hash = $1 and ended_at is null returning uid',
    [sha256(id), new Date(nowMs)],
  );
  if (ended) await endGranted(within, ended.uid, nowMs);
}

/**
 * Ends a session of this account and the grants that were for its duration, in the transaction of `within`. False if
 * the account has no such session. `nowMs`: milliseconds since the epoch.
 */
export async function endSession(
  within: Query,
  { accountId, uid }: { accountId: string; uid: string },
  nowMs: number,
): Promise<boolean> {
  const [ended] = await within<{ authorizations: Authorizations }>(
    `update sessions set ended_at = $3 where uid = $1 and account_id = $2 and ended_at is null
     returning payload->'authorizations' as authorizations`,
    [uid, accountId, new Date(nowMs)],
  );
  if (!ended) return false;
  await endGranted(within, uid, nowMs);
  for (const grantId of grantsOf(ended.authorizations, (persists) => !persists))
    await endGrant(within, grantId, 'signed_out', nowMs);
  return true;
}
