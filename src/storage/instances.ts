/**
 * The instances that run on this database. Each updates one row every second: its heartbeat. The row says with which
 * version and files the instance works, so that instances which differ can be found. The write also shows that the
 * database can commit: a database that only answers reads fails it.
 */
import { keyedHash } from '../lib/crypto.ts';
import { outageAfterMs } from './outages.ts';
import type { Query } from './run_statement.ts';

/** Keyed hashes of the files that every instance must have alike, by the names of their settings. */
export interface FileHashes {
  CLIENTS_FILE: string;
  RESOURCES_FILE: string;
  /** Undefined if forward-auth is off. */
  FORWARD_AUTH_FILE: string | undefined;
}

/**
 * Hashes what was read of each file. The files may hold secrets, so the hashes need a key: without it nobody can check a
 * guess. `digests`: the SHA-256 of each file, by the name of its setting. `key` never changes.
 */
export function hashFiles(
  key: Uint8Array,
  { CLIENTS_FILE = '', RESOURCES_FILE = '', FORWARD_AUTH_FILE }: Partial<FileHashes>,
): FileHashes {
  const hash = (setting: string, digest: string) =>
    keyedHash(key, setting, digest).toString('hex').slice(0, 16);
  return {
    CLIENTS_FILE: hash('CLIENTS_FILE', CLIENTS_FILE),
    RESOURCES_FILE: hash('RESOURCES_FILE', RESOURCES_FILE),
    FORWARD_AUTH_FILE:
      FORWARD_AUTH_FILE === undefined ? undefined : hash('FORWARD_AUTH_FILE', FORWARD_AUTH_FILE),
  };
}

export interface Instance {
  id: string;
  version: string;
  files: FileHashes;
  startedAt: Date;
  beatAt: Date;
}

export interface InstancesDeps {
  query: Query;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Names this process. No other one, nor this one after a restart, may have the same id. */
  id: string;
  /** What the next beat says. The files may have been read again since the last one. */
  facts: () => Pick<Instance, 'version' | 'files'>;
  /** Called after each beat, with whether it was written. */
  onBeat?(ok: boolean): void;
}

export interface Instances {
  /**
   * Writes the row of this instance, and notes outages: its own that has ended, and those of instances that have gone
   * without a word. Throws AppError 503 if the database cannot commit it in time.
   */
  beat(): Promise<void>;
  /** The instances whose last beat is not older than ten seconds, by id. */
  list(): Promise<Instance[]>;
  /** Beats now, and then every second until `stop`. Failures are ignored. */
  start(): void;
  /** Ends the beat and removes the row, so that the end does not pass for an outage. */
  stop(): Promise<void>;
}

const beatEveryMs = 1000;
/** An instance without a beat for this long is not listed. It may have been stopped or killed. */
const silentAfterMs = 10_000;

/**
 * $8: the time of the last beat that PostgreSQL has confirmed to this instance. $9: outageAfterMs. Outages go by PostgreSQL's
 * own clock, as it is at that moment: a clock that is set is no outage.
 */
const beatStatement = `with own_outage as (
    insert into outages (instance, began_at, ended_at) select $1, $8, clock_timestamp()
    where clock_timestamp() - $8::timestamptz > $9 * interval '1 ms'
    on conflict (instance, began_at) do update set ended_at = excluded.ended_at),
  outages_of_the_dead as (
    insert into outages (instance, began_at, ended_at) select id, answered_at, clock_timestamp() from instances
    where id <> $1 and answered_at < clock_timestamp() - 2 * $9 * interval '1 ms'
    on conflict (instance, began_at) do nothing)
  insert into instances
    (id, version, clients_file_hash, resources_file_hash, forward_auth_file_hash, started_at, beat_at, answered_at)
  values ($1, $2, $3, $4, $5, $6, $7, coalesce($8, clock_timestamp()))
  on conflict (id) do update set version = excluded.version, clients_file_hash = excluded.clients_file_hash,
    resources_file_hash = excluded.resources_file_hash, forward_auth_file_hash = excluded.forward_auth_file_hash,
    beat_at = excluded.beat_at, answered_at = excluded.answered_at
  returning clock_timestamp() as at`;

export function createInstances({ query, now, id, facts, onBeat = () => {} }: InstancesDeps): Instances {
  const startedAt = new Date(now());
  let answeredAt: Date | null = null;
  let timer: NodeJS.Timeout | undefined;
  let running = false;
  let beating = Promise.resolve();

  async function beat(): Promise<void> {
    const { version, files } = facts();
    const hashes = [files.CLIENTS_FILE, files.RESOURCES_FILE, files.FORWARD_AUTH_FILE ?? null];
    try {
      const [row] = await query<{ at: Date }>(beatStatement, [
        ...[id, version, ...hashes, startedAt, new Date(now())],
        ...[answeredAt, outageAfterMs],
      ]);
      answeredAt = row?.at ?? null;
    } catch (error) {
      onBeat(false);
      throw error;
    }
    onBeat(true);
  }

  /** The next beat begins a second after this one has begun. A beat that takes longer is awaited first. */
  async function repeat(): Promise<void> {
    const due = performance.now() + beatEveryMs;
    beating = beat().catch(() => {});
    await beating;
    if (running) timer = setTimeout(repeat, Math.max(0, due - performance.now())).unref();
  }

  return {
    beat,
    list: () => liveInstances(query, now()),
    start() {
      running = true;
      void repeat();
    },
    async stop() {
      running = false;
      clearTimeout(timer);
      await beating;
      await query('delete from instances where id = $1', [id]).catch(() => {});
    },
  };
}

/** The instances whose last beat is not older than ten seconds at `nowMs`, by id. */
export async function liveInstances(query: Query, nowMs: number): Promise<Instance[]> {
  const rows = await query<
    Omit<Instance, 'files'> & { clients: string; resources: string; sites: string | null }
  >(
    `select id, version, clients_file_hash as clients, resources_file_hash as resources,
       forward_auth_file_hash as sites, started_at as "startedAt", beat_at as "beatAt"
     from instances where beat_at > $1 order by id`,
    [new Date(nowMs - silentAfterMs)],
  );
  return rows.map(({ clients, resources, sites, ...row }) => ({
    ...row,
    files: { CLIENTS_FILE: clients, RESOURCES_FILE: resources, FORWARD_AUTH_FILE: sites ?? undefined },
  }));
}

/** Deletes the rows whose last beat is a day old. Returns how many. */
export async function forgetInstances(query: Query, nowMs: number): Promise<number> {
  const rows = await query(
    `delete from instances where beat_at < $1::timestamptz - interval '1 day' returning id`,
    [new Date(nowMs)],
  );
  return rows.length;
}
