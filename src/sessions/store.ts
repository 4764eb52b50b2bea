/**
 * Sign-on sessions in PostgreSQL, under the hash of their id: a dump holds nothing that can be put into a cookie.
 * Called by oidc-provider's adapter; the lives (idle, absolute) are decided there.
 */
import { sha256 } from '../lib/crypto.ts';
import type { Database } from '../storage/database.ts';

/** oidc-provider's session payload; `jti` (the id) is kept out of the database and put back when read. */
export interface SessionPayload {
  jti: string;
  uid: string;
  accountId?: string;
  [name: string]: unknown;
}

export interface SessionStore {
  /** Creates or changes a session. One that has ended stays ended, whatever a request still in flight wants to save. */
  save(payload: SessionPayload, ttlSeconds: number): Promise<void>;
  byId(id: string): Promise<SessionPayload | undefined>;
  /** The session without its id. */
  byUid(uid: string): Promise<SessionPayload | undefined>;
  /** Ends the session and all that was granted for its duration. */
  end(id: string): Promise<void>;
}

/** `accessTokenSeconds`: the longest life of an access token. */
export function createSessionStore(
  { query }: Database,
  accessTokenSeconds: number,
  now: () => number,
): SessionStore {
  return {
    async save({ jti, ...payload }, ttlSeconds) {
      await query(
        `insert into sessions as s (id_hash, uid, account_id, payload, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (uid) do update set id_hash = excluded.id_hash, account_id = excluded.account_id,
           payload = excluded.payload, expires_at = excluded.expires_at
         where s.ended_at is null`,
        [
          sha256(jti),
          payload.uid,
          payload.accountId ?? null,
          JSON.stringify(payload),
          new Date(now()),
          new Date(now() + ttlSeconds * 1000),
        ],
      );
    },
    async byId(id) {
      const [row] = await query<{ payload: SessionPayload }>(
        'select payload from sessions where id_hash = $1 and ended_at is null and expires_at > $2',
        [sha256(id), new Date(now())],
      );
      return row && { ...row.payload, jti: id };
    },
    async byUid(uid) {
      const [row] = await query<{ payload: SessionPayload }>(
        'select payload from sessions where uid = $1 and ended_at is null and expires_at > $2',
        [uid, new Date(now())],
      );
      return row?.payload;
    },
    async end(id) {
      // With the session end the families that were granted for its duration, and their access tokens.
      await query(
        `with ended as (
           update sessions set ended_at = $2 where id_hash = $1 and ended_at is null returning uid),
         families as (
           update refresh_families f set ended_at = $2, ended_because = 'signed_out' from ended
           where f.session_uid = ended.uid and not f.offline and f.ended_at is null returning f.id)
         insert into revocations (subject, expires_at) select 'family:' || id, $3 from families
         on conflict (subject) do update set expires_at = excluded.expires_at`,
        [sha256(id), new Date(now()), new Date(now() + accessTokenSeconds * 1000)],
      );
    },
  };
}
