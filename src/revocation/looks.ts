/**
 * Whether something was revoked. PostgreSQL is asked every time, never a copy: after a revocation has been answered no instance
 * may take the token for active, whatever happened to Redis or to a notification. The looks that come while a query is under
 * way share the next one, so that load makes each of them cheaper.
 */
import type { Database } from '../storage/database.ts';
import type { Subject } from './subjects.ts';

/** A look waits no longer than this for the query before its own: one that hangs must not hold up the others. */
const mostHeldMs = 5;

interface Waiting {
  subjects: Subject[];
  resolve: (revoked: boolean) => void;
  reject: (error: unknown) => void;
}

/** True where any of the subjects is revoked. Rejects with AppError 503 where it cannot be known. */
export function createLook(database: Database, now: () => number): (subjects: Subject[]) => Promise<boolean> {
  let waiting: Waiting[] = [];
  let underWay = 0;
  let late: NodeJS.Timeout | undefined;

  /** For all that wait. Do not share the first caller's deadline: a later caller may be allowed to wait longer. */
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

  return (subjects) =>
    new Promise((resolve, reject) => {
      waiting.push({ subjects, resolve, reject });
      if (waiting.length > 1) return;
      if (underWay === 0) setImmediate(askNow);
      else late = setTimeout(askNow, mostHeldMs);
    });
}
