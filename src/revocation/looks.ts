/**
 * Checks whether something was revoked. Every check asks PostgreSQL and never a copy: after a revocation was
 * answered, no instance may accept the token, whatever happened to Redis or to a notification. Checks that arrive
 * while a query runs share the next query, so each becomes cheaper under load.
 */
import type { Database } from '../storage/database.ts';
import type { Subject } from './subjects.ts';

/** The longest that a check waits for the query before its own. A query that hangs must not hold up the others. */
const mostHeldMs = 5;

interface Waiting {
  subjects: Subject[];
  resolve: (revoked: boolean) => void;
  reject: (error: unknown) => void;
}

/**
 * Makes a function that resolves with true if any of the subjects is revoked. It rejects with AppError 503 if
 * PostgreSQL cannot be asked. `now`: milliseconds since the epoch.
 */
export function createLook(database: Database, now: () => number): (subjects: Subject[]) => Promise<boolean> {
  let waiting: Waiting[] = [];
  let underWay = 0;
  let late: NodeJS.Timeout | undefined;

  /**
   * Starts one query for all waiting checks. Do not share the first caller's deadline: a later caller may be allowed
   * to wait longer.
   */
  const askNow = () => {
    clearTimeout(late);
    if (waiting.length > 0) void database.bounded('app', ask);
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
