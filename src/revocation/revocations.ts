/**
 * The one revocation graph: account → sessions and grants → refresh families → access tokens. Ending a node ends all below it in one statement.
 * Stateless access tokens are checked against what was ended. PostgreSQL is asked every time, never a copy: after a
 * revocation has been answered no instance may take the token for active, whatever happened to Redis or to a
 * notification. The looks that come while a query is under way share the next one, so that load makes each of them cheaper.
 */
import { sha256 } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Database, Query } from '../storage/database.ts';

export type Subject = `jti:${string}` | `family:${string}` | `grant:${string}` | `session:${string}`;

/** A grant is named by the hash under which it is stored, so that all of an account's can be listed. */
const grantSubject = (grantId: string): Subject => `grant:${sha256(grantId)}`;

/** Why a refresh family ended; kept with it. */
export type EndReason = 'reuse' | 'revoked' | 'signed_out' | 'account';

/** An access token, by what can end it. `session` is there where the token ends with its session. */
export interface RevocableToken {
  jti: string;
  family?: string | undefined;
  grant?: string | undefined;
  session?: string | undefined;
}

export interface Revocations {
  /** Ends one access token. */
  endToken(jti: string): Promise<void>;
  /** Ends a refresh family and its access tokens. `family` may have no refresh token at all. */
  endFamily(familyId: string, because: EndReason, query?: Query): Promise<void>;
  /** The same where a family of this name has begun, and lives. Otherwise nothing is stored. */
  endBegunFamily(familyId: string, because: EndReason): Promise<void>;
  /** Ends all families of a grant and all its access tokens. */
  endGrant(grantId: string, because: EndReason, query?: Query): Promise<void>;
  /** Ends all grants, codes, families and consents that an account has given to one client. False where there was nothing. */
  endClient(accountId: string, clientId: string): Promise<boolean>;
  /** Ends all sessions, grants, codes and families of an account. Part of the transaction whose `query` is given. */
  endAccount(accountId: string, query?: Query): Promise<void>;
  /** What an access token is checked against. */
  subjectsOf(token: RevocableToken): Subject[];
  /** True where any of the subjects is revoked. Throws AppError 503 where it cannot be known. */
  anyRevoked(subjects: Subject[]): Promise<boolean>;
}

/** A look waits no longer than this for the query before its own: one that hangs must not hold up the others. */
const mostHeldMs = 5;

export function createRevocations(database: Database, now: () => number): Revocations {
  let waiting: {
    subjects: Subject[];
    resolve: (revoked: boolean) => void;
    reject: (error: unknown) => void;
  }[] = [];

  let underWay = 0;
  let late: NodeJS.Timeout | undefined;

  /** For all that wait. The patience of the first that asks is not that of all. */
  const askNow = () => {
    clearTimeout(late);
    if (waiting.length > 0) void database.bounded(ask);
  };

  async function ask(): Promise<void> {
    const asked = waiting;
    waiting = [];
    underWay += 1;
    try {
      const rows = await database.query<{ subject: string }>(
        'select subject from revocations where subject = any($1) and expires_at > $2',
        [asked.flatMap(({ subjects }) => subjects), new Date(now())],
      );
      const revoked = new Set(rows.map(({ subject }) => subject));
      for (const { subjects, resolve } of asked) resolve(subjects.some((subject) => revoked.has(subject)));
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
    underWay -= 1;
    askNow();
  }

  const kept = () => new Date(now() + lifeSeconds.revocation * 1000);
  const again = 'on conflict (subject) do update set expires_at = excluded.expires_at';

  return {
    async endToken(jti) {
      await database.query(`insert into revocations (subject, expires_at) values ($1, $2) ${again}`, [
        `jti:${jti}`,
        kept(),
      ]);
    },
    async endFamily(familyId, because, query = database.query) {
      // A code may be presented again while its first use is still on its way to begin the family: then the family is
      // put there as ended, and cannot begin.
      await query(
        `with ended as (
           insert into refresh_families as f
             (id, grant_id, client_id, account_id, offline, created_at, expires_at, ended_at, ended_because)
           values ($1, '', '', '', false, $3, $2, $3, $4)
           on conflict (id) do update set ended_at = $3, ended_because = $4 where f.ended_at is null)
         insert into revocations (subject, expires_at) values ('family:' || $1, $2) ${again}`,
        [familyId, kept(), new Date(now()), because],
      );
    },
    async endBegunFamily(familyId, because) {
      await database.query(
        `with ended as (
           update refresh_families set ended_at = $3, ended_because = $4
           where id = $1 and ended_at is null returning id)
         insert into revocations (subject, expires_at) select 'family:' || id, $2::timestamptz from ended ${again}`,
        [familyId, kept(), new Date(now()), because],
      );
    },
    async endGrant(grantId, because, query = database.query) {
      await query(
        `with ended as (
           update refresh_families set ended_at = $3, ended_because = $4 where grant_id = $1 and ended_at is null)
         insert into revocations (subject, expires_at) values ($5, $2) ${again}`,
        [grantId, kept(), new Date(now()), because, grantSubject(grantId)],
      );
    },
    async endClient(accountId, clientId) {
      const rows = await database.query(
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
        [accountId, clientId, kept(), new Date(now())],
      );
      return rows.length > 0;
    },
    async endAccount(accountId, query = database.query) {
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
        [accountId, kept(), new Date(now())],
      );
    },
    subjectsOf({ jti, family, grant, session }) {
      const subjects: Subject[] = [`jti:${jti}`];
      if (family !== undefined) subjects.push(`family:${family}`);
      if (grant !== undefined) subjects.push(grantSubject(grant));
      if (session !== undefined) subjects.push(`session:${session}`);
      return subjects;
    },
    anyRevoked(subjects) {
      return new Promise((resolve, reject) => {
        waiting.push({ subjects, resolve, reject });
        if (waiting.length > 1) return;
        if (underWay === 0) setImmediate(askNow);
        else late = setTimeout(askNow, mostHeldMs);
      });
    },
  };
}
