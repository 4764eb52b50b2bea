/**
 * Counts events within a time window in PostgreSQL: wrong guesses at a secret, and, where no Redis counts them, the
 * attempts of an address. Wrong guesses are always counted here, so that an attacker who can write to Redis cannot
 * reset the count.
 */
import type { Database } from './database.ts';

export interface Count {
  /** How many events there were in the current window. */
  count: number;
  /** How long until the count starts again at zero, rounded up to whole seconds. */
  secondsLeft: number;
}

export interface Counts {
  /** Undefined if there was no event in the current window. */
  of(bucket: string): Promise<Count | undefined>;
  /** Counts one event. The first one starts a window of `seconds`; after it the count starts again. */
  count(bucket: string, seconds: number): Promise<Count>;
}

/** The counts in the database. `now` returns milliseconds since the epoch. */
export function createCounts({ query }: Pick<Database, 'query'>, now: () => number): Counts {
  const asCount = ({ guesses, expires_at }: Row): Count => ({
    count: guesses,
    secondsLeft: Math.ceil((expires_at.getTime() - now()) / 1000),
  });
  return {
    async of(bucket) {
      const [row] = await query<Row>(
        'select guesses, expires_at from guesses where bucket = $1 and expires_at > $2',
        [bucket, new Date(now())],
      );
      return row && asCount(row);
    },
    async count(bucket, seconds) {
      const [row] = await query<Row>(
        `insert into guesses as g (bucket, guesses, expires_at) values ($1, 1, $3)
         on conflict (bucket) do update set
           guesses = case when g.expires_at <= $2 then 1 else g.guesses + 1 end,
           expires_at = case when g.expires_at <= $2 then excluded.expires_at else g.expires_at end
         returning guesses, expires_at`,
        [bucket, new Date(now()), new Date(now() + seconds * 1000)],
      );
      return asCount(row as Row);
    },
  };
}

interface Row {
  guesses: number;
  expires_at: Date;
}
