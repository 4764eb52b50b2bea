/**
 * Wrong guesses within a time, counted in PostgreSQL: this count decides how often a secret may be guessed at, and whoever
 * can write to Redis must not be able to take it back.
 */
import type { Database } from './database.ts';

export interface GuessCount {
  guesses: number;
  /** Until the count begins anew; at least 1. */
  secondsLeft: number;
}

export interface Guesses {
  /** Undefined where there was none lately. */
  of(bucket: string): Promise<GuessCount | undefined>;
  /** Counts one. The first one begins a time of `seconds`, after which the count begins anew. */
  count(bucket: string, seconds: number): Promise<void>;
}

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
