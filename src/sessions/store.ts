/**
 * Sign-on sessions: PostgreSQL is the truth, the cache holds sealed copies. A copy is named after the version that
 * PostgreSQL has just confirmed, so that nothing that was ended or changed revives from a cache that missed it. Ids
 * are kept as hashes: a dump holds nothing that can be put into a cookie. Called by oidc-provider's adapter; the lives
 * (idle, absolute) are decided there.
 */
import { sha256 } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Copies } from '../storage/copies.ts';
import type { Database, Query } from '../storage/database.ts';
import { jsonb } from '../storage/jsonb.ts';
import { type Statement, unnamed, withQueries } from '../storage/statement.ts';

/** oidc-provider's session payload; `jti` (the id) is kept out of storage and put back when read. */
export interface SessionPayload {
  jti: string;
  uid: string;
  accountId?: string;
  acr?: string;
  amr?: string[];
  loginTs?: number;
  [name: string]: unknown;
}

/** Where a session was used from, as far as the request told. */
export interface SeenFrom {
  address?: string | undefined;
  userAgent?: string | undefined;
  device?: string | undefined;
}

/** One of a person's sessions, as they are shown it. */
export interface ListedSession {
  uid: string;
  address: string | null;
  userAgent: string | null;
  createdAt: Date;
  lastSeenAt: Date;
  /** The grants of the apps that were signed in to. */
  grants: string[];
}

/**
 * `saved`: the session is stored under its id. `older`: a later login of the same account stands in it, which keeps its id; the
 * apps that were authorized were added. `refused`: it has ended, or a later login of another account stands in it.
 */
export type SaveOutcome = 'saved' | 'older' | 'refused';

export interface SessionStore {
  /**
   * Creates or changes a session, or moves it to another id. One that has ended stays ended, whatever a request still in
   * flight wants to save; one that did not change is written at most once a minute. `also` is written in the same commit.
   */
  save(
    payload: SessionPayload,
    ttlSeconds: number,
    from: SeenFrom,
    also?: readonly Statement[],
  ): Promise<SaveOutcome>;
  byId(id: string): Promise<SessionPayload | undefined>;
  /** The session without its id. */
  byUid(uid: string): Promise<SessionPayload | undefined>;
  /**
   * The session without its id. Counts as a use of it, written at most once a minute: it then ends after `idleSeconds` from
   * now, but not later than `lifetimeSeconds` after its login.
   */
  use(
    uid: string,
    life: { idleSeconds: number; lifetimeSeconds: number },
  ): Promise<SessionPayload | undefined>;
  /** Ends the session and all that was granted for its duration. */
  end(id: string): Promise<void>;
  /**
   * The live sessions of an account, the newest first: at most `most` after the first `skip`. The one of `own` comes before
   * all others, where nothing is skipped.
   */
  ofAccount(
    accountId: string,
    page: { most: number; skip?: number; own?: string | undefined },
  ): Promise<ListedSession[]>;
  /**
   * Ends a session of this account as `end` does, in the transaction of `query`. Returns the grants that were for its
   * duration; undefined where the account has no such session.
   */
  endOfAccount(query: Query, accountId: string, uid: string): Promise<string[] | undefined>;
}

/** What oidc-provider notes of each app in its session. `persistsLogout`: `offline_access` was granted. */
type Authorizations = Record<string, { grantId?: string; persistsLogout?: boolean }> | null;

const grantsOf = (authorizations: Authorizations, which: (persists: boolean) => boolean): string[] =>
  Object.values(authorizations ?? {}).flatMap(({ grantId, persistsLogout = false }) =>
    grantId !== undefined && which(persistsLogout) ? [grantId] : [],
  );

export interface SessionStoreDeps {
  database: Database;
  copies: Copies;
  now: () => number;
}

const loginOf = (row: 's' | 'excluded') => `coalesce((${row}.payload->>'loginTs')::bigint, 0)`;
const isOlder = `${loginOf('s')} > ${loginOf('excluded')}`;
const sameAccount = 's.account_id is not distinct from excluded.account_id';

/**
 * Requests of one session run side by side, and each saves the whole of what it read. What they add is which apps were
 * authorized: that is put together, so that none of them is forgotten at the sign-out. A login that was saved is not undone by a
 * request that began before it: that one adds its apps and changes nothing else.
 */
const mergedPayload = `case when ${isOlder} then s.payload else excluded.payload end || case when ${sameAccount}
    and (s.payload ? 'authorizations' or excluded.payload ? 'authorizations')
  then jsonb_build_object('authorizations', coalesce(s.payload->'authorizations', '{}')
    || coalesce(excluded.payload->'authorizations', '{}'))
  else '{}' end`;

/** What tells one state of a session's row from every other. */
interface RowVersion {
  version: number;
  last_seen_at: Date;
  account_id: string | null;
}

/**
 * A version's number comes again where PostgreSQL has lost its last writes, to a failover or a restored backup. The time
 * of the write does not.
 */
const copyName = (idHash: string, { version, last_seen_at }: RowVersion): string =>
  `session:${idHash}:${version}:${last_seen_at.getTime()}`;

export function createSessionStore({ database, copies, now }: SessionStoreDeps): SessionStore {
  const { query } = database;

  /**
   * Ends the families that were granted for the duration of a session that has just ended, and their access tokens. A
   * statement of its own, so that it sees the families whose beginning it waited for (refresh/store.ts).
   */
  async function endGranted(within: Query, uid: string): Promise<void> {
    await within(
      `with families as (
         update refresh_families set ended_at = $2, ended_because = 'signed_out'
         where session_uid = $1 and not offline and ended_at is null returning id)
       insert into revocations (subject, expires_at)
         select 'family:' || id, $3::timestamptz from families union all select 'session:' || $1, $3
       on conflict (subject) do update set expires_at = excluded.expires_at`,
      [uid, new Date(now()), new Date(now() + lifeSeconds.revocation * 1000)],
    );
  }

  return {
    async save({ jti, kind: _, ...payload }, ttlSeconds, from, also = []) {
      const save: Statement = {
        text: `insert into sessions as s (id_hash, uid, account_id, payload, address, user_agent, device, created_at,
           last_seen_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
         on conflict (uid) do update set
           id_hash = case when ${isOlder} then s.id_hash else excluded.id_hash end,
           account_id = excluded.account_id, payload = ${mergedPayload}, version = s.version + 1,
           address = excluded.address, user_agent = excluded.user_agent, device = excluded.device,
           last_seen_at = excluded.last_seen_at,
           expires_at = case when ${isOlder} then s.expires_at else excluded.expires_at end
         where s.ended_at is null and (${sameAccount} or not ${isOlder})
           and (s.id_hash <> excluded.id_hash or s.payload - 'exp' <> (${mergedPayload}) - 'exp'
           or s.last_seen_at <= excluded.last_seen_at - interval '1 minute')`,
        values: [
          sha256(jti),
          payload.uid,
          payload.accountId ?? null,
          jsonb(payload),
          from.address ?? null,
          from.userAgent?.slice(0, 300) ?? null,
          from.device?.slice(0, 64) ?? null,
          new Date(now()),
          new Date(now() + ttlSeconds * 1000),
        ],
      };
      // Locked, so that an end or a login which is under way is waited for, and seen.
      const standing: Statement = {
        text: 'select account_id, payload, ended_at from sessions where uid = $1 for no key update',
        values: [payload.uid],
      };
      const { text, values } = withQueries(
        { standing, ...unnamed([save, ...also]) },
        {
          text: `select case
             when ended_at is not null then 'refused'
             when coalesce((payload->>'loginTs')::bigint, 0) <= $1 then 'saved'
             when account_id is not distinct from $2 then 'older' else 'refused' end as outcome
           from standing`,
          values: [payload.loginTs ?? 0, payload.accountId ?? null],
        },
      );
      const [was] = await query<{ outcome: SaveOutcome }>(text, values);
      return was?.outcome ?? 'saved';
    },

    async byId(id) {
      const idHash = sha256(id);
      const at = new Date(now());
      const [alive] = await query<RowVersion>(
        `select version, last_seen_at, account_id from sessions
         where id_hash = $1 and ended_at is null and expires_at > $2`,
        [idHash, at],
      );
      if (!alive) return undefined;
      const copy = await copies.get(copyName(idHash, alive), alive.account_id ?? undefined);
      if (copy) return { ...(copy as SessionPayload), jti: id };
      const [row] = await query<RowVersion & { payload: SessionPayload; expires_at: Date }>(
        `select version, last_seen_at, account_id, payload, expires_at from sessions
         where id_hash = $1 and ended_at is null and expires_at > $2`,
        [idHash, at],
      );
      if (!row) return undefined;
      const restSeconds = Math.min((row.expires_at.getTime() - now()) / 1000, lifeSeconds.sessionCopy);
      await copies.put(copyName(idHash, row), row.payload, restSeconds);
      return { ...row.payload, jti: id };
    },

    async byUid(uid) {
      const [row] = await query<{ payload: SessionPayload }>(
        'select payload from sessions where uid = $1 and ended_at is null and expires_at > $2',
        [uid, new Date(now())],
      );
      return row?.payload;
    },

    async use(uid, { idleSeconds, lifetimeSeconds }) {
      const at = new Date(now());
      const [row] = await query<{ payload: SessionPayload; unseen: boolean }>(
        `select payload, last_seen_at <= $2::timestamptz - interval '1 minute' as unseen
         from sessions where uid = $1 and ended_at is null and expires_at > $2`,
        [uid, at],
      );
      if (!row?.unseen) return row?.payload;
      await query(
        `with life as (
           select uid, least($2::timestamptz + make_interval(secs => $3),
             to_timestamp((payload->>'loginTs')::bigint) + make_interval(secs => $4)) as expires_at
           from sessions where uid = $1)
         update sessions s set last_seen_at = $2, expires_at = life.expires_at, version = s.version + 1,
           payload = s.payload || jsonb_build_object('exp', floor(extract(epoch from life.expires_at))::bigint)
         from life where s.uid = life.uid and s.ended_at is null and s.last_seen_at <= $2::timestamptz - interval '1 minute'`,
        [uid, at, idleSeconds, lifetimeSeconds],
      );
      return row.payload;
    },

    async end(id) {
      const idHash = sha256(id);
      await database.transaction(async (within) => {
        const [ended] = await within<{ uid: string }>(
          'update sessions set ended_at = $2 where id_hash = $1 and ended_at is null returning uid',
          [idHash, new Date(now())],
        );
        if (ended) await endGranted(within, ended.uid);
      });
    },

    async ofAccount(accountId, { most, skip = 0, own }) {
      const rows = await query<Omit<ListedSession, 'grants'> & { authorizations: Authorizations }>(
        `with live as (
           select uid, address, user_agent as "userAgent", created_at as "createdAt", last_seen_at as "lastSeenAt",
             payload->'authorizations' as authorizations
           from sessions where account_id = $1 and ended_at is null and expires_at > $2)
         (select * from live where uid = $3 and $5 = 0)
         union all
         (select * from live where $3::text is null or uid <> $3 order by "createdAt" desc limit $4 offset $5)`,
        [accountId, new Date(now()), own ?? null, most, skip],
      );
      return rows.map(({ authorizations, ...row }) => ({
        ...row,
        grants: grantsOf(authorizations, () => true),
      }));
    },

    async endOfAccount(within, accountId, uid) {
      const [ended] = await within<{ authorizations: Authorizations }>(
        `update sessions set ended_at = $3 where uid = $1 and account_id = $2 and ended_at is null
         returning payload->'authorizations' as authorizations`,
        [uid, accountId, new Date(now())],
      );
      if (!ended) return undefined;
      await endGranted(within, uid);
      return grantsOf(ended.authorizations, (persists) => !persists);
    },
  };
}
