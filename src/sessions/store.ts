/**
 * Sign-on sessions in PostgreSQL. Every lookup reads the row, so an ended or changed session is never used again. Ids
 * are stored as hashes, so a database dump holds nothing that can be put into a cookie. The caller decides how long a
 * session lasts. The end of a session is not here but in src/revocation.
 */
import { sha256 } from '../lib/crypto.ts';
import { readableRow } from '../lib/formats.ts';
import { pageRows, pagesOf } from '../lib/pages.ts';
import type { Database, Query } from '../storage/database.ts';
import type { Statement } from '../storage/statement.ts';
import { type Authorizations, grantsOf } from './authorizations.ts';
import { saveSession } from './save.ts';
import type { SaveOutcome, SeenFrom, SessionPayload } from './session.ts';

/** One of a person's sessions, as the account page shows it. */
export interface ListedSession {
  uid: string;
  address: string | null;
  userAgent: string | null;
  createdAt: Date;
  lastSeenAt: Date;
  /** The ids of the grants of the session's apps. */
  grants: string[];
}

export interface SessionStore {
  /**
   * Creates or changes a session, or moves it to another id. A session that has ended stays ended, whatever a
   * concurrent request saves. An unchanged session is written at most once a minute. `also` is written in the same
   * commit.
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
   * The session without its id. This counts as a use of the session, which is written at most once a minute. The
   * session then ends `idleSeconds` from now, but not later than `lifetimeSeconds` after its sign-in.
   */
  use(uid: string, lifetime: SessionLifetime): Promise<SessionPayload | undefined>;
  /**
   * The live sessions of an account, the newest first: at most `most` after the first `skip`. The session `own` is
   * not counted among them. It comes first on the first page, in addition to the others.
   */
  ofAccount(accountId: string, page: SessionPage): Promise<ListedSession[]>;
  /** All live sessions of an account, the newest first, in pages. */
  allOfAccount(accountId: string): AsyncIterable<ListedSession[]>;
}

export interface SessionLifetime {
  idleSeconds: number;
  lifetimeSeconds: number;
}

export interface SessionPage {
  most: number;
  skip?: number;
  own?: string | undefined;
}

export interface SessionStoreDeps {
  database: Pick<Database, 'query'>;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** A session of an unknown format counts as none: the person signs in again. */
const readable = readableRow('session');

export function createSessionStore({ database, now }: SessionStoreDeps): SessionStore {
  const { query } = database;
  return {
    save: (payload, ttlSeconds, from, also = []) =>
      saveSession(query, { payload, ttlSeconds, from, also }, now()),
    async byId(id) {
      const [row] = await query<{ payload: SessionPayload }>(
        `select payload from sessions where id_hash = $1 and ended_at is null and expires_at > $2 and ${readable}`,
        [sha256(id), new Date(now())],
      );
      return row && { ...row.payload, jti: id };
    },
    async byUid(uid) {
      const [row] = await query<{ payload: SessionPayload }>(
        `select payload from sessions where uid = $1 and ended_at is null and expires_at > $2 and ${readable}`,
        [uid, new Date(now())],
      );
      return row?.payload;
    },
    use: (uid, lifetime) => useSession(query, uid, lifetime, now()),
    ofAccount: (accountId, page) => listSessions(query, accountId, page, now()),
    allOfAccount: (accountId) => allSessions(query, accountId, now),
  };
}

async function useSession(
  query: Query,
  uid: string,
  { idleSeconds, lifetimeSeconds }: SessionLifetime,
  nowMs: number,
): Promise<SessionPayload | undefined> {
  const at = new Date(nowMs);
  const [row] = await query<{ payload: SessionPayload; unseen: boolean }>(
    `select payload, last_seen_at <= $2::timestamptz - interval '1 minute' as unseen
     from sessions where uid = $1 and ended_at is null and expires_at > $2 and ${readable}`,
    [uid, at],
  );
  if (!row?.unseen) return row?.payload;
  await query(
    `with life as (
       select uid, least($2::timestamptz + make_interval(secs => $3),
         to_timestamp((payload->>'loginTs')::bigint) + make_interval(secs => $4)) as expires_at
       from sessions where uid = $1)
     update sessions s set last_seen_at = $2, expires_at = life.expires_at,
       payload = s.payload || jsonb_build_object('exp', floor(extract(epoch from life.expires_at))::bigint)
     from life where s.uid = life.uid and s.ended_at is null and s.last_seen_at <= $2::timestamptz - interval '1 minute'`,
    [uid, at, idleSeconds, lifetimeSeconds],
  );
  return row.payload;
}

async function listSessions(
  query: Query,
  accountId: string,
  { most, skip = 0, own }: SessionPage,
  nowMs: number,
): Promise<ListedSession[]> {
  const rows = await query<Omit<ListedSession, 'grants'> & { authorizations: Authorizations }>(
    `with live as (
       select uid, address, user_agent as "userAgent", created_at as "createdAt", last_seen_at as "lastSeenAt",
         payload->'authorizations' as authorizations
       from sessions where account_id = $1 and ended_at is null and expires_at > $2)
     (select * from live where uid = $3 and $5 = 0)
     union all
     (select * from live where $3::text is null or uid <> $3 order by "createdAt" desc limit $4 offset $5)`,
    [accountId, new Date(nowMs), own ?? null, most, skip],
  );
  return rows.map(({ authorizations, ...row }) => ({
    ...row,
    grants: grantsOf(authorizations, () => true),
  }));
}

interface PlacedSession extends ListedSession {
  /** `created_at` with its microseconds, which a Date would lose. */
  madeAt: string;
}

async function* allSessions(
  query: Query,
  accountId: string,
  now: () => number,
): AsyncGenerator<ListedSession[]> {
  const pages = pagesOf<PlacedSession>((last) => sessionsAfter(query, accountId, last, now()));
  for await (const page of pages) yield page.map(({ madeAt: _, ...session }) => session);
}

/** The sessions after `last`, whose row may be gone. */
async function sessionsAfter(
  query: Query,
  accountId: string,
  last: PlacedSession | undefined,
  nowMs: number,
): Promise<PlacedSession[]> {
  const rows = await query<Omit<PlacedSession, 'grants'> & { authorizations: Authorizations }>(
    `select uid, address, user_agent as "userAgent", created_at as "createdAt", last_seen_at as "lastSeenAt",
       payload->'authorizations' as authorizations, created_at::text as "madeAt"
     from sessions where account_id = $1 and ended_at is null and expires_at > $2
       and created_at <= $3::timestamptz and (created_at, uid) < ($3::timestamptz, $4)
     order by created_at desc, uid desc limit $5`,
    [accountId, new Date(nowMs), last?.madeAt ?? 'infinity', last?.uid ?? '', pageRows],
  );
  return rows.map(({ authorizations, ...row }) => ({ ...row, grants: grantsOf(authorizations, () => true) }));
}
