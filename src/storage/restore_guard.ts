/**
 * Detects that PostgreSQL has returned to an older state: a backup was restored, or a standby took over that lacks
 * more than a failover may lose. In the older state everything is valid again that was revoked, rotated or removed
 * since. So nothing may be served until the operator has decided (`npx cypher restored`).
 *
 * Every instance advances one row every two seconds, and keeps copies of it outside the database: in memory, in a
 * file, in Redis and in the tokens that it makes. If the row is behind a copy by more than the tolerance, the row is
 * marked as behind. Then all instances stop serving, also those that have seen no copy. The row counts the time for
 * which servers have run. So neither a change of a clock nor a server that was off for a month is mistaken for a
 * restore.
 */
import { AppError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Database, Query } from './database.ts';
import { furthest, lostBetween, type Mark, type MarkCopies, noMark } from './restore_marks.ts';

export interface RestoreGuard {
  /**
   * Checks the database. The check begins after the call: if one is running already, another one follows it. Rejects
   * if the database cannot be asked.
   */
  look(): Promise<void>;
  /** How many milliseconds of its history the database lacks. Undefined if nothing is known to be missing. */
  behindMs(): number | undefined;
  /**
   * After a lost connection another server may answer. Resolves once its state is known, or once it is known that
   * PostgreSQL cannot be reached. Undefined if there is nothing to wait for.
   */
  settled(): Promise<void> | undefined;
  /** The mark that new tokens carry. */
  mark(): Mark;
  /** Checks the database against the mark of an authentic token. Throws AppError 503 if the database is behind. */
  claim(mark: Mark): Promise<void>;
  /** `follower` runs once the operator has decided. Requests are served only after it has settled. */
  follow(follower: () => Promise<void>): void;
  start(): void;
  stop(): void;
}

export interface RestoreGuardDeps {
  database: Pick<Database, 'query' | 'bounded' | 'onConnectionLost'>;
  copies: MarkCopies;
  /** How much of the history a failover may lose, in milliseconds. */
  toleranceMs: number;
  log: Pick<Log, 'error' | 'warn' | 'info'>;
}

const beatEveryMs = 2000;
/** How often to look while we wait for the operator's decision. */
const lookAgainEveryMs = 1000;
/** The most that one beat adds. After a longer pause no server was running, or the clock was set. */
const mostPerBeatMs = 10_000;

/** 503: the database has returned to an older state. */
export const behind = (): AppError =>
  new AppError(
    'temporarily_unavailable',
    "The server's database has returned to an earlier state. The operator has to confirm that before anybody can go on.",
    { retryAfterSeconds: 30 },
  );

interface GuardRow {
  epoch: number;
  served_ms: number;
  behind_ms: number | null;
}

/**
 * $1, $2: epoch and served_ms of the furthest mark that was seen. $3: the tolerance. $4: the most that one beat adds.
 */
const missing = `coalesce(behind_ms, case
  when epoch < $1 then greatest($2 - served_ms, 1)
  when epoch = $1 and $2 - served_ms > $3 then $2 - served_ms end)`;
const beat = `update restore_guard set behind_ms = ${missing}, beat_at = clock_timestamp(),
    served_ms = served_ms + case when ${missing} is null
      then least(greatest((extract(epoch from clock_timestamp() - beat_at) * 1000)::bigint, 0), $4) else 0 end
  where id = 1 returning epoch::float8, served_ms::float8, behind_ms::float8`;

/** Call `look` once before anything is served. After `start` it repeats by itself. */
export function createRestoreGuard({ database, copies, toleranceMs, log }: RestoreGuardDeps): RestoreGuard {
  let furthestSeen = noMark;
  let at: Mark | undefined;
  let behindMs: number | undefined;
  let [losses, lossesSettled] = [0, 0];
  let fileFails = false;
  const followers: (() => Promise<void>)[] = [];
  database.onConnectionLost(() => {
    losses += 1;
  });

  async function lookOnce(): Promise<void> {
    const before = losses;
    furthestSeen = furthest(furthestSeen, at ? await copies.readCache() : await copies.read());
    const { epoch, servedMs } = furthestSeen;
    const [row] = await database.query<GuardRow>(beat, [epoch, servedMs, toleranceMs, mostPerBeatMs]);
    if (!row) notice(furthestSeen.servedMs);
    else if (row.behind_ms !== null) notice(row.behind_ms);
    else await takeOver({ epoch: row.epoch, servedMs: row.served_ms });
    lossesSettled = before;
  }

  function notice(missingMs: number): void {
    if (behindMs === undefined) {
      log.error(
        { missingSeconds: Math.round(missingMs / 1000) },
        'the database has returned to an older state: nothing is served until the operator has run `npx cypher restored`, or `npx cypher restored --accept`',
      );
    }
    behindMs = missingMs;
  }

  async function takeOver(now: Mark): Promise<void> {
    if (behindMs !== undefined || (at && now.epoch > at.epoch)) {
      for (const follower of followers) await follower();
      log.info(
        { epoch: now.epoch },
        'the operator has decided about the restored state: requests are served',
      );
    }
    at = now;
    behindMs = undefined;
    furthestSeen = furthest(furthestSeen, now);
    const error = await copies.write(furthestSeen);
    if (error && !fileFails) {
      log.warn({ cause: error }, 'a restore of the database may go unnoticed: DATA_DIR cannot be written to');
    }
    fileFails = error !== undefined;
  }

  const look = oneAtATime(() => database.bounded('app', lookOnce));
  const repetition = repeat(look, () => (behindMs === undefined ? beatEveryMs : lookAgainEveryMs));

  return {
    look,
    behindMs: () => behindMs,
    settled: () => (losses === lossesSettled ? undefined : look().catch(() => {})),
    mark: () => furthestSeen,
    async claim(mark) {
      const ahead = lostBetween(furthestSeen, mark);
      if (ahead !== undefined && (mark.epoch > furthestSeen.epoch || ahead > toleranceMs)) {
        furthestSeen = mark;
        await look();
      }
      if (behindMs !== undefined) throw behind();
    },
    follow: (follower) => void followers.push(follower),
    start: repetition.start,
    stop: repetition.stop,
  };
}

/** Runs `work`. Calls that arrive while it runs share one further run, which begins after it. */
function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  return function run(): Promise<void> {
    if (!running) {
      running = work().finally(() => {
        running = undefined;
      });
      return running;
    }
    next ??= running
      .catch(() => {})
      .then(() => {
        next = undefined;
        return run();
      });
    return next;
  };
}

/** Repeats `work` and ignores its failures. While PostgreSQL is down, the requests that need it report that. */
function repeat(work: () => Promise<void>, pauseMs: () => number) {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  function start(): void {
    if (stopped) return;
    const again = () =>
      void work()
        .catch(() => {})
        .finally(start);
    timer = setTimeout(again, pauseMs()).unref();
  }
  return {
    start,
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** Reads the row without advancing it. Undefined if the migrations of this version have not run. */
export async function readGuard(query: Query): Promise<{ at: Mark; behindMs: number | null } | undefined> {
  const [table] = await query<{ there: boolean }>("select to_regclass('restore_guard') is not null as there");
  if (!table?.there) return undefined;
  const [row] = await query<GuardRow>(
    'select epoch::float8, served_ms::float8, behind_ms::float8 from restore_guard where id = 1',
  );
  return row && { at: { epoch: row.epoch, servedMs: row.served_ms }, behindMs: row.behind_ms };
}

/**
 * Begins a new epoch, in the transaction of `query`. The operator has decided about the present state, so older marks
 * have no effect any more. `seen`: the furthest mark that is known outside the database.
 */
export async function beginEpoch(query: Query, seen: Mark): Promise<void> {
  await query(
    `update restore_guard set behind_ms = null, beat_at = clock_timestamp(), epoch =
       greatest(epoch + 1, $1::bigint + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint)
     where id = 1`,
    [seen.epoch],
  );
}
