/**
 * The instances that run on this database. Each updates one row every second: its heartbeat. The row says with which
 * version and files the instance works, so that instances which differ can be found. The write also shows that the
 * database can commit: a database that only answers reads fails it.
 */
import { keyedHash } from '../lib/crypto.ts';
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
  /** Writes the row of this instance. Throws AppError 503 if the database cannot commit it in time. */
  beat(): Promise<void>;
  /** The instances whose last beat is not older than ten seconds, by id. */
  list(): Promise<Instance[]>;
  /** Beats now, and then every second until `stop`. Failures are ignored. */
  start(): void;
  stop(): void;
}

const beatEveryMs = 1000;
/** An instance without a beat for this long is not listed. It may have been stopped or killed. */
const silentAfterMs = 10_000;

const beatStatement = `insert into instances
    (id, version, clients_file_hash, resources_file_hash, forward_auth_file_hash, started_at, beat_at)
  values ($1, $2, $3, $4, $5, $6, $7)
  on conflict (id) do update set version = excluded.version, clients_file_hash = excluded.clients_file_hash,
    resources_file_hash = excluded.resources_file_hash, forward_auth_file_hash = excluded.forward_auth_file_hash,
    beat_at = excluded.beat_at`;

export function createInstances({ query, now, id, facts, onBeat = () => {} }: InstancesDeps): Instances {
  const startedAt = new Date(now());
  let timer: NodeJS.Timeout | undefined;
  let running = false;

  async function beat(): Promise<void> {
    const { version, files } = facts();
    const hashes = [files.CLIENTS_FILE, files.RESOURCES_FILE, files.FORWARD_AUTH_FILE ?? null];
    try {
      await query(beatStatement, [id, version, ...hashes, startedAt, new Date(now())]);
    } catch (error) {
      onBeat(false);
      throw error;
    }
    onBeat(true);
  }

  /** The next beat begins a second after this one has begun. A beat that takes longer is awaited first. */
  async function repeat(): Promise<void> {
    const due = performance.now() + beatEveryMs;
    await beat().catch(() => {});
    if (running) timer = setTimeout(repeat, Math.max(0, due - performance.now())).unref();
  }

  return {
    beat,
    list: () => liveInstances(query, now()),
    start() {
      running = true;
      void repeat();
    },
    stop() {
      running = false;
      clearTimeout(timer);
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
