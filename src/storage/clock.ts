/**
 * PostgreSQL's clock, which all instances share. One instance writes a time and another one compares it with its own,
 * for example to decide whether a code has expired or a repetition is a retry. If their clocks differed, people would
 * be signed out by mistake. So every instance reads PostgreSQL's clock every two seconds. In between it adds the time
 * of its monotonic timer, which nobody can set.
 */
import type { Database } from './database.ts';

export interface DatabaseClock {
  /** Milliseconds since the epoch. */
  now(): number;
  stop(): void;
}

const readEveryMs = 2000;

/**
 * Resolves once the clock has been read. Rejects if PostgreSQL cannot be asked then. Later failures do no harm: the
 * clock goes on from the last reading.
 */
export async function followDatabaseClock({ query }: Pick<Database, 'query'>): Promise<DatabaseClock> {
  let ahead = Number.NaN;
  const now = () => Math.floor(performance.now() + ahead);

  async function read(): Promise<void> {
    const asked = performance.now();
    const [row] = await query<{ ms: number }>(
      'select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms',
    );
    const halfway = (performance.now() - asked) / 2;
    const measured = (row?.ms ?? Number.NaN) - asked - halfway;
    // A difference that the duration of the query may explain is ignored, so that the clock does not jump.
    if (!(Math.abs(measured - ahead) <= halfway)) ahead = measured;
  }

  await read();
  const timer = setInterval(() => void read().catch(() => {}), readEveryMs).unref();
  return { now, stop: () => clearInterval(timer) };
}
