/**
 * Notices that PostgreSQL has returned to an older state: that a backup was restored, or that a standby took over which
 * lacks more than a failover may lose. In the older state everything that was revoked, rotated or removed since is valid
 * again, so nothing may be served from it before the operator has decided (`npx cypher restored`).
 *
 * Every instance advances one row every few seconds and keeps what it says outside the database: in memory, in a file, in
 * Redis and in the tokens it makes. A database that is behind any of these by more than the tolerance is marked as behind
 * in that row, so that all instances stop, those too that have seen nothing. The row counts the time for which servers
 * have run: a clock that is set, or a server that was off for a month, changes nothing of it.
 */
import { AppError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Database, Query } from './database.ts';
import { furthest, lostBetween, type Mark, type MarkCopies, noMark } from './restore_marks.ts';

export interface RestoreGuard {
  /** Looks at the database. Rejects where it cannot be asked. A look that is under way is followed by another one. */
  look(): Promise<void>;
  /** How many milliseconds of its history the database lacks; undefined where none is known to be missing. */
  behindMs(): number | undefined;
  /**
   * After a connection to PostgreSQL was lost another one may answer there: resolves once it is known which state it is
   * in, or that it is away. Undefined where nothing has to be waited for.
   */
  settled(): Promise<void> | undefined;
  /** What the tokens that are made now say. */
  mark(): Mark;
  /** For the mark of an authentic token. Throws AppError 503 where the database turns out to be behind it. */
  claim(mark: Mark): Promise<void>;
  /** Called, and waited for, before requests are served again once the operator has decided. */
  follow(follower: () => Promise<void>): void;
  start(): void;
  stop(): void;
}

export interface RestoreGuardDeps {
  database: Pick<Database, 'query' | 'bounded' | 'onConnectionLost'>;
  copies: MarkCopies;
  /** How much of the history a failover may lose. */
  toleranceMs: number;
  log: Pick<Log, 'error' | 'warn' | 'info'>;
}

const beatEveryMs = 2000;
/** While the operator is waited for. */
const lookAgainEveryMs = 1000;
/** The most that one beat counts: for longer there was no server, or the clock was set. */
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

/** Parameters: the furthest mark that was seen (epoch, served), the tolerance, the most that one beat counts. */
const missing = `coalesce(behind_ms, case
  when epoch < $1 then greatest($2 - served_ms, 1)
  when epoch = $1 and $2 - served_ms > $3 then $2 - served_ms end)`;
const beat = `update restore_guard set behind_ms = ${missing}, beat_at = clock_timestamp(),
    served_ms = served_ms + case when ${missing} is null
      then least(greatest((extract(epoch from clock_timestamp() - beat_at) * 1000)::bigint, 0), $4) else 0 end
  where id = 1 returning epoch::float8, served_ms::float8, behind_ms::float8`;

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

  const look = oneAtATime(() => database.bounded(lookOnce));
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

/** Runs `work`. All calls that come while it runs share one further run, which begins after it. */
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

/** Repeats `work`, which may fail: while PostgreSQL is away, the requests that need it report that. */
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

/** What the row says, without advancing it. Undefined where this version's migrations have not run. */
export async function readGuard(query: Query): Promise<{ at: Mark; behindMs: number | null } | undefined> {
  const [table] = await query<{ there: boolean }>("select to_regclass('restore_guard') is not null as there");
  if (!table?.there) return undefined;
  const [row] = await query<GuardRow>(
    'select epoch::float8, served_ms::float8, behind_ms::float8 from restore_guard where id = 1',
  );
  return row && { at: { epoch: row.epoch, servedMs: row.served_ms }, behindMs: row.behind_ms };
}

/**
 * Begins a new epoch, in the transaction of `query`: the operator has decided about the state that is there, and what was
 * seen before counts no more. `seen`: the furthest mark that is known outside.
 */
export async function beginEpoch(query: Query, seen: Mark): Promise<void> {
  await query(
    `update restore_guard set behind_ms = null, beat_at = clock_timestamp(), epoch =
       greatest(epoch + 1, $1::bigint + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint)
     where id = 1`,
    [seen.epoch],
  );
}
