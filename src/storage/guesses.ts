/**
 * Counts wrong guesses at a secret within a time window. The count limits how often a secret may be guessed. It is
 * kept in PostgreSQL, so that an attacker who can write to Redis cannot reset it.
 */
import type { Database } from './database.ts';

export interface GuessCount {
  guesses: number;
  /** How long until the count starts again at zero; at least 1. */
  secondsLeft: number;
}

export interface Guesses {
  /** Undefined if there was no wrong guess in the current window. */
  of(bucket: string): Promise<GuessCount | undefined>;
  /** Counts one wrong guess. The first one starts a window of `seconds`; after it the count starts again. */
  count(bucket: string, seconds: number): Promise<void>;
}

/** `now`: milliseconds since the epoch. */
export function createGuesses({ query }: Pick<Database, 'query'>, now: () => number): Guesses {
  return {
    async of(bucket) {
      const [row] = await query<{ guesses: number; expires_at: Date }>(
        'select guesses, expires_at from guesses where bucket = $1 and expires_at > $2',
        [bucket, new Date(now())],
      );
      if (!row) return undefined;
      const secondsLeft = Math.ceil((row.expires_at.getTime() - now()) / 1000);
      return { guesses: row.guesses, secondsLeft };
    },
    async count(bucket, seconds) {
      await query(
        `insert into guesses as g (bucket, guesses, expires_at) values ($1, 1, $3)
         on conflict (bucket) do update set
           guesses = case when g.expires_at <= $2 then 1 else g.guesses + 1 end,
           expires_at = case when g.expires_at <= $2 then excluded.expires_at else g.expires_at end`,
        [bucket, new Date(now()), new Date(now() + seconds * 1000)],
      );
    },
  };
}
