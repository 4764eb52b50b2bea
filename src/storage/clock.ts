/**
 * PostgreSQL's clock, for every instance the same. What one instance writes another one judges: until when a repetition
 * is a retry, when a code or a session is over. Instances whose own clocks differ would sign honest people out there. So
 * none goes by its own: each asks PostgreSQL now and then, and in between counts on from the answer by its monotonic
 * timer, which nobody sets.
 */
import type { Database } from './database.ts';

export interface DatabaseClock {
  /** Milliseconds since the epoch. */
  now(): number;
  stop(): void;
}

const readEveryMs = 2000;

/** Resolves with the clock once it has been read. While PostgreSQL is away it goes on from the last reading. */
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
    // What the way there and back may account for is no difference of clocks: time goes on without a jolt.
    if (!(Math.abs(measured - ahead) <= halfway)) ahead = measured;
  }

  await read();
  const timer = setInterval(() => void read().catch(() => {}), readEveryMs).unref();
  return { now, stop: () => clearInterval(timer) };
}
