/**
 * Refresh families in PostgreSQL, one row each. The row holds the hash of the one token that can be used. A successor's
 * id is derived from its predecessor's id with a server key, so a token can have only one successor. Rotation is one
 * conditional statement. Of any number of concurrent requests on any number of instances, one changes the row.
 *
 * The sealed token names its family and generation. So the row need not remember older tokens: a token of the family
 * that is neither the current nor the previous one was used. The text of tokens and the end of families are not here.
 */
import { keyedHash, sha256 } from '../lib/crypto.ts';
import type { Database, Query } from '../storage/database.ts';
import { jsonb } from '../storage/jsonb.ts';
import { repeatableUntil } from '../storage/outages.ts';
import { type Statement, withQueries } from '../storage/statement.ts';
import { type FamilyColumns, withColumns, withoutColumns } from './family_payload.ts';
import { type RefreshFacts, type RefreshState, refreshState } from './states.ts';

/** What an authentic token says of itself. */
export interface RefreshTokenId {
  tokenId: string;
  familyId: string;
  /** 0 for a family's first token. Undefined in tokens that an earlier release has sealed. */
  generation: number | undefined;
  /** Milliseconds since the epoch. */
  expiresAt: number;
}

/** The presented token's family, and what became of the token. */
export interface StoredRefreshToken {
  state: RefreshState;
  payload: Record<string, unknown>;
  /** The generation of the current token: the presented one, or the last one that followed it. */
  generation: number;
  /** When the current token was issued, and until when it can be used. Milliseconds since the epoch. */
  issuedAt: number;
  expiresAt: number;
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
  /** What is the same for all tokens of the family. It must not contain anything that can be presented. */
  payload: object;
  /** Milliseconds since the epoch. */
  issuedAt: number;
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
    token: RefreshTokenId,
    options?: { anyTime?: boolean },
    query?: Query,
  ): Promise<StoredRefreshToken | undefined>;
  /** The id of the first token of a family that begins with this device code or CIBA request. */
  firstOf(code: string): string;
  /** The id of the token's only possible successor. */
  successorOf(tokenId: string): string;
  /**
   * Replaces the token by its successor, which has these times (milliseconds since the epoch). False if the token was
   * used before, has expired, or its family has ended.
   */
  rotate(token: RefreshTokenId, successor: { issuedAt: number; expiresAt: number }): Promise<boolean>;
  /** The ids of the grants of this account for which an app can still refresh tokens. At most 1000. */
  grantsOf(accountId: string): Promise<string[]>;
}

export interface RefreshSettings {
  /** The key that derives successor ids from predecessor ids, and the first id of a family from a polled code. */
  successorKey: Uint8Array;
  /** How long a repeated request gets the same successor. 0 turns this off. */
  leewayMs: number;
  now: () => number;
  /** Names this process, as its heartbeat does. */
  instance: string;
}

interface Row extends Omit<FamilyColumns, 'session_uid'> {
  payload: Record<string, unknown>;
  generation: number;
  token_hash: string;
  issued_at: Date;
  token_expires_at: Date;
  used_at: Date | null;
  used_by: string | null;
  expires_at: Date;
  ended_at: Date | null;
  began_in: string | null;
}

/** Makes the store. `now`: milliseconds since the epoch. */
export function createRefreshStore(
  { query }: Database,
  { successorKey, leewayMs, now, instance }: RefreshSettings,
): RefreshStore {
  const successorOf = (tokenId: string) => keyedHash(successorKey, tokenId).toString('base64url');
  return {
    firstOf: (code) => keyedHash(successorKey, 'first', code).toString('base64url'),
    successorOf,
    async begin(family, first) {
      const { text, values } = beginning(family, first, now());
      return (await query(text, values)).length === 1;
    },
    async read(token, { anyTime = false } = {}, on = query) {
      const [row] = await on<Row>(
        `select payload, generation, token_hash, issued_at, token_expires_at, used_at, used_by, expires_at, ended_at,
           grant_id, client_id, account_id, offline, session_uid as began_in, null::text as session_uid
         from refresh_families where id = $1 and token_hash is not null`,
        [token.familyId],
      );
      if (!row) return undefined;
      const facts = factsOf(row, token, sha256(successorOf(token.tokenId)));
      const stateBy = (known: RefreshFacts) =>
        refreshState(known, now(), anyTime ? Number.POSITIVE_INFINITY : leewayMs);
      let state = stateBy(facts);
      if (state === 'reuse' && !facts.successorUsed && facts.usedAt !== undefined && row.used_by !== null) {
        const deed = { instance: row.used_by, at: facts.usedAt };
        const until = await repeatableUntil(query, deed, { leewayMs, nowMs: now() });
        state = stateBy({ ...facts, repeatableUntil: until });
      }
      return {
        payload: withColumns(row.payload, { ...row, session_uid: row.began_in }),
        generation: row.generation,
        issuedAt: row.issued_at.getTime(),
        expiresAt: row.token_expires_at.getTime(),
        state,
      };
    },
    async rotate({ familyId, tokenId, generation }, { issuedAt, expiresAt }) {
      const rows = await query(
        `update refresh_families set generation = greatest(generation, $7) + 1, token_hash = $3, issued_at = $5,
           token_expires_at = $6, used_at = $4, used_by = $8
         where id = $1 and (token_hash = $2 and token_expires_at > $4 or generation < $7)
           and ended_at is null and expires_at > $4
         returning id`,
        [
          ...[familyId, sha256(tokenId), sha256(successorOf(tokenId)), new Date(now())],
          ...[new Date(issuedAt), new Date(expiresAt), generation ?? 0, instance],
        ],
      );
      return rows.length === 1;
    },
    async grantsOf(accountId) {
      const rows = await query<{ grantId: string }>(
        `select distinct grant_id as "grantId" from refresh_families
         where account_id = $1 and ended_at is null and expires_at > $2 and token_expires_at > $2
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
  { tokenId, payload, issuedAt, expiresAt, using }: FirstToken,
  nowMs: number,
): Statement {
  const sessionUid = family.sessionUid ?? null;
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
    },
    {
      text: `insert into refresh_families
          (id, grant_id, client_id, account_id, session_uid, offline, created_at, expires_at,
           payload, generation, token_hash, issued_at, token_expires_at)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $12
        where ${used} and ($6 or not exists (select from session where ended_at is not null))
        on conflict (id) do nothing returning id`,
      values: [
        ...[family.id, family.grantId, family.clientId, family.accountId, sessionUid, family.offline],
        ...[new Date(nowMs), new Date(family.expiresAt)],
        ...[jsonb(withoutColumns(payload)), sha256(tokenId), new Date(issuedAt), new Date(expiresAt)],
      ],
    },
  );
}

function factsOf(row: Row, token: RefreshTokenId, successorHash: string): RefreshFacts {
  // A failover may lose the latest rotations. Then the client holds a token that the database does not know yet.
  const isAhead = token.generation !== undefined && token.generation > row.generation;
  const isUnused = isAhead || row.token_hash === sha256(token.tokenId);
  return {
    familyEndedAt: row.ended_at?.getTime(),
    familyExpiresAt: row.expires_at.getTime(),
    expiresAt: isAhead ? token.expiresAt : row.token_expires_at.getTime(),
    usedAt: isUnused ? undefined : (row.used_at ?? row.issued_at).getTime(),
    successorUsed: !isUnused && row.token_hash !== successorHash,
  };
}
