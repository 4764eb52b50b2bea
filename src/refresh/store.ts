/**
 * Refresh families in PostgreSQL. Only hashes of token ids are stored. A successor's id is derived from its
 * predecessor's id with a server key, so a token can have only one successor. Rotation is one statement and one
 * commit. Of any number of concurrent requests on any number of instances, one marks the token as used and stores the
 * successor. The text of tokens and the end of families are not here.
 */
import { keyedHash, sha256 } from '../lib/crypto.ts';
import type { Database, Query } from '../storage/database.ts';
import { jsonb } from '../storage/jsonb.ts';
import { type Statement, withQueries } from '../storage/statement.ts';
import { type RefreshFacts, type RefreshState, refreshState } from './states.ts';

export interface StoredRefreshToken {
  familyId: string;
  payload: Record<string, unknown>;
  state: RefreshState;
}

export interface NewFamily {
  /** Derived from the code, so all tokens that follow from one code are one family. */
  id: string;
  grantId: string;
  clientId: string;
  accountId: string;
  sessionUid: string | undefined;
  /** True if `offline_access` was granted. Then the family outlives its session. */
  offline: boolean;
  /** The end of the family's lifetime, in milliseconds since the epoch. */
  expiresAt: number;
}

export interface FirstToken {
  tokenId: string;
  /** Must not contain the token id: the database must not hold anything that can be presented. */
  payload: object;
  /** Milliseconds since the epoch. */
  expiresAt: number;
  /** Uses the code that the family begins with, in the same commit. If it returns no row, nothing begins. */
  using?: Statement | undefined;
}

export interface RefreshStore {
  /**
   * Begins a family with its first token. False if it has begun before, its session has ended, or its code was used.
   */
  begin(family: NewFamily, first: FirstToken): Promise<boolean>;
  /**
   * Reads a token and its state. Undefined if there is no such token. With `anyTime`, a repeated request counts as a
   * retry at any time while the successor is unused. Otherwise it must come within the leeway. The statement that
   * `query` runs also returns `grant_id`, `account_id` and `session_uid`.
   */
  read(
    tokenId: string,
    options?: { anyTime?: boolean },
    query?: Query,
  ): Promise<StoredRefreshToken | undefined>;
  /** The id of the first token of a family that begins with this device code or CIBA request. */
  firstOf(code: string): string;
  /** The id of the token's only possible successor. */
  successorOf(tokenId: string): string;
  /**
   * Marks the token as used and stores its successor, in one commit. `payload` and `expiresAt` (milliseconds since
   * the epoch) are the successor's. False if the token was used before, has expired, or its family has ended.
   */
  rotate(tokenId: string, payload: object, expiresAt: number): Promise<boolean>;
  /** The ids of the grants of this account for which an app can still refresh tokens. At most 1000. */
  grantsOf(accountId: string): Promise<string[]>;
}

export interface RefreshSettings {
  /** The key that derives successor ids from predecessor ids, and the first id of a family from a polled code. */
  successorKey: Uint8Array;
  /** How long a repeated request gets the same successor. 0 turns this off. */
  leewayMs: number;
  now: () => number;
}

interface Row {
  family_id: string;
  payload: Record<string, unknown>;
  expires_at: Date;
  used_at: Date | null;
  family_expires_at: Date;
  ended_at: Date | null;
  successor_used: boolean;
}

/** Makes the store. `now`: milliseconds since the epoch. */
export function createRefreshStore(
  { query }: Database,
  { successorKey, leewayMs, now }: RefreshSettings,
): RefreshStore {
  const successorOf = (tokenId: string) => keyedHash(successorKey, tokenId).toString('base64url');
  return {
    firstOf: (code) => keyedHash(successorKey, 'first', code).toString('base64url'),
    successorOf,
    async begin(family, first) {
      const { text, values } = beginning(family, first, now());
      return (await query(text, values)).length === 1;
    },
    async read(tokenId, { anyTime = false } = {}, on = query) {
      const [row] = await on<Row>(
        `select t.family_id, t.payload, t.expires_at, t.used_at, f.expires_at as family_expires_at, f.ended_at,
           s.used_at is not null as successor_used, f.grant_id, f.account_id, null::text as session_uid
         from refresh_tokens t join refresh_families f on f.id = t.family_id
           left join refresh_tokens s on s.token_hash = $2
         where t.token_hash = $1`,
        [sha256(tokenId), sha256(successorOf(tokenId))],
      );
      return (
        row && {
          familyId: row.family_id,
          payload: row.payload,
          state: refreshState(factsOf(row), now(), anyTime ? Number.POSITIVE_INFINITY : leewayMs),
        }
      );
    },
    async rotate(tokenId, payload, expiresAt) {
      const rows = await query(
        `with used as (
           update refresh_tokens t set used_at = $2 from refresh_families f
           where t.token_hash = $1 and t.used_at is null and t.expires_at > $2 and f.id = t.family_id and f.ended_at is null
             and f.expires_at > $2
           returning t.family_id)
         insert into refresh_tokens (token_hash, family_id, refreshed_from, payload, created_at, expires_at)
         select $3, family_id, $1, $4, $2, $5 from used
         returning token_hash`,
        [sha256(tokenId), new Date(now()), sha256(successorOf(tokenId)), jsonb(payload), new Date(expiresAt)],
      );
      return rows.length === 1;
    },
    async grantsOf(accountId) {
      const rows = await query<{ grantId: string }>(
        `select distinct f.grant_id as "grantId" from refresh_families f
         where f.account_id = $1 and f.ended_at is null and f.expires_at > $2 and exists (
           select from refresh_tokens t where t.family_id = f.id and t.used_at is null and t.expires_at > $2)
         limit 1000`,
        [accountId, new Date(now())],
      );
      return rows.map(({ grantId }) => grantId);
    },
  };
}

/** The statement that begins a family with its first token. It returns a row if the family has begun. */
function beginning(
  family: NewFamily,
  { tokenId, payload, expiresAt, using }: FirstToken,
  nowMs: number,
): Statement {
  const sessionUid = family.sessionUid ?? null;
  const at = new Date(nowMs);
  const used = using ? 'exists (select from used)' : 'true';
  return withQueries(
    {
      ...(using && { used: using }),
      // With the share lock, a concurrent sign-out waits for this statement, or this statement waits for the
      // sign-out. So a family that belongs to a session cannot begin after the session's end.
      session: {
        text: `select ended_at from sessions where uid = $1 and ${used} for share`,
        values: [sessionUid],
      },
      family: {
        text: `insert into refresh_families
            (id, grant_id, client_id, account_id, session_uid, offline, created_at, expires_at)
          select $1, $2, $3, $4, $5, $6, $7, $8
          where ${used} and ($6 or not exists (select from session where ended_at is not null))
          on conflict (id) do nothing returning id`,
        values: [
          ...[family.id, family.grantId, family.clientId, family.accountId, sessionUid, family.offline],
          ...[at, new Date(family.expiresAt)],
        ],
      },
    },
    {
      text: `insert into refresh_tokens (token_hash, family_id, payload, created_at, expires_at)
        select $1, id, $2, $3, $4 from family
        returning token_hash`,
      values: [sha256(tokenId), jsonb(payload), at, new Date(expiresAt)],
    },
  );
}

const factsOf = (row: Row): RefreshFacts => ({
  familyEndedAt: row.ended_at?.getTime(),
  familyExpiresAt: row.family_expires_at.getTime(),
  expiresAt: row.expires_at.getTime(),
  usedAt: row.used_at?.getTime(),
  successorUsed: row.successor_used,
});
