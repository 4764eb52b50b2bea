/**
 * The statements that end a token, a family, a grant, and what an account has granted. Each also ends everything
 * below it in the same statement. `nowMs` is in milliseconds since the epoch. What each end covers is documented at
 * Revocations.
 */
import { lifeSeconds } from '../lifetimes.ts';
import type { Query } from '../storage/database.ts';
import { grantSubject } from './subjects.ts';

/** Why a refresh family ended. It is stored with the family. */
export type EndReason = 'reuse' | 'revoked' | 'signed_out' | 'account';

const kept = (nowMs: number) => new Date(nowMs + lifeSeconds.revocation * 1000);
const again = 'on conflict (subject) do update set expires_at = excluded.expires_at';

export async function endToken(query: Query, jti: string, nowMs: number): Promise<void> {
  await query(`insert into revocations (subject, expires_at) values ($1, $2) ${again}`, [
    `jti:${jti}`,
    kept(nowMs),
  ]);
}

export async function endFamily(
  query: Query,
  familyId: string,
  because: EndReason,
  nowMs: number,
): Promise<void> {
  // A code may be presented again before its first use has begun the family. Then an ended family is inserted, so
  // that it cannot begin any more.
  await query(
    `with ended as (
       insert into refresh_families as f
         (id, grant_id, client_id, account_id, offline, created_at, expires_at, ended_at, ended_because)
       values ($1, '', '', '', false, $3, $2, $3, $4)
       on conflict (id) do update set ended_at = $3, ended_because = $4 where f.ended_at is null)
     insert into revocations (subject, expires_at) values ('family:' || $1, $2) ${again}`,
    [familyId, kept(nowMs), new Date(nowMs), because],
  );
}

export async function endBegunFamily(
  query: Query,
  familyId: string,
  because: EndReason,
  nowMs: number,
): Promise<void> {
  await query(
    `with ended as (
       update refresh_families set ended_at = $3, ended_because = $4
       where id = $1 and ended_at is null returning id)
     insert into revocations (subject, expires_at) select 'family:' || id, $2::timestamptz from ended ${again}`,
    [familyId, kept(nowMs), new Date(nowMs), because],
  );
}

export async function endGrant(
  query: Query,
  grantId: string,
  because: EndReason,
  nowMs: number,
): Promise<void> {
  await query(
    `with ended as (
       update refresh_families set ended_at = $3, ended_because = $4 where grant_id = $1 and ended_at is null)
     insert into revocations (subject, expires_at) values ($5, $2) ${again}`,
    [grantId, kept(nowMs), new Date(nowMs), because, grantSubject(grantId)],
  );
}

export async function endClient(
  query: Query,
  accountId: string,
  clientId: string,
  nowMs: number,
): Promise<boolean> {
  const rows = await query(
    `with families as (
       update refresh_families set ended_at = $4, ended_because = 'revoked'
       where account_id = $1 and client_id = $2 and ended_at is null returning id),
     records_gone as (
       delete from records where account_id = $1 and payload->>'clientId' = $2 returning model, id_hash),
     consents_gone as (
       delete from consents where account_id = $1 and client_id = $2 returning client_id),
     revoked as (
       insert into revocations (subject, expires_at)
         select 'family:' || id, $3::timestamptz from families
         union all select 'grant:' || id_hash, $3 from records_gone where model = 'Grant'
       ${again} returning subject)
     select subject from revoked union all select client_id from consents_gone`,
    [accountId, clientId, kept(nowMs), new Date(nowMs)],
  );
  return rows.length > 0;
}

export async function endAccount(query: Query, accountId: string, nowMs: number): Promise<void> {
  await query(
    `with account as (
       update accounts set signed_out_at = $3 where id = $1),
     sessions_ended as (
       update sessions set ended_at = $3 where account_id = $1 and ended_at is null returning uid),
     families as (
       update refresh_families set ended_at = $3, ended_because = 'account'
       where account_id = $1 and ended_at is null returning id),
     records_gone as (
       delete from records where account_id = $1 returning model, id_hash)
     insert into revocations (subject, expires_at)
       select 'family:' || id, $2::timestamptz from families
       union all select 'grant:' || id_hash, $2 from records_gone where model = 'Grant'
       union all select 'session:' || uid, $2 from sessions_ended
     ${again}`,
    [accountId, kept(nowMs), new Date(nowMs)],
  );
}
