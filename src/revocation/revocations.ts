/**
 * What stateless access tokens are checked against: revoked tokens, grants and sessions. PostgreSQL is asked every time,
 * never a copy: after a revocation has been answered no instance may take the token for active, whatever happened to
 * Redis or to a notification. The looks of one turn of the event loop share one query, so that load makes each cheaper.
 */
import type { Database, Query } from '../storage/database.ts';

export type Subject = `jti:${string}` | `grant:${string}` | `session:${string}`;

export interface Revocations {
  /** Revokes for as long as an access token may live. Give a transaction's `query` to make it part of that. */
  revoke(subjects: Subject[], query?: Query): Promise<void>;
  /** True where any of the subjects is revoked. Throws AppError 503 where it cannot be known. */
  anyRevoked(subjects: Subject[]): Promise<boolean>;
}

/** `keptSeconds`: the longest life of an access token; older revocations have nothing left to stop. */
export function createRevocations(database: Database, keptSeconds: number, now: () => number): Revocations {
  let waiting: { subjects: Subject[]; resolve: (revoked: boolean) => void; reject: (error: unknown) => void }[] =
    [];

  async function ask(): Promise<void> {
    const asked = waiting;
    waiting = [];
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
  }

  return {
    async revoke(subjects, query = database.query) {
      await query(
        `insert into revocations (subject, expires_at) select unnest($1::text[]), $2
         on conflict (subject) do update set expires_at = excluded.expires_at`,
        [subjects, new Date(now() + keptSeconds * 1000)],
      );
    },
    anyRevoked(subjects) {
      return new Promise((resolve, reject) => {
        waiting.push({ subjects, resolve, reject });
        if (waiting.length === 1) setImmediate(ask);
      });
    },
  };
}
