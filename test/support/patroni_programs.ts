/** The programs for a Patroni cluster, where there are any. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findHaproxy, findOnPath } from './programs.ts';

export interface PatroniPrograms {
  patroni: string;
  etcd: string;
  /** Of the programs of PostgreSQL, with pg_rewind. */
  postgresDirectory: string;
}

/** Undefined where one of them is missing. */
export function findPatroni(): PatroniPrograms | undefined {
  const [patroni, etcd, rewind] = [findOnPath('patroni'), findOnPath('etcd'), findRewind()];
  return patroni && etcd && rewind ? { patroni, etcd, postgresDirectory: join(rewind, '..') } : undefined;
}

/** What a machine lacks for Patroni with HAProxy, in words. Undefined if it lacks nothing. */
export function missingForPatroni(): string | undefined {
  const missing = [
    findOnPath('patroni') ? '' : 'patroni',
    findOnPath('etcd') ? '' : 'etcd (Debian: etcd-server)',
    findRewind() ? '' : 'PostgreSQL with pg_rewind (Debian: postgresql)',
    findHaproxy() ? '' : 'haproxy',
  ].filter((name) => name !== '');
  return missing.length > 0 ? missing.join(', ') : undefined;
}

/** Debian keeps the programs of each version of PostgreSQL in a directory of its own. */
function findRewind(): string | undefined {
  const debian = [18, 17, 16, 15, 14].map((version) => `/usr/lib/postgresql/${version}/bin/pg_rewind`);
  return debian.find((path) => existsSync(path)) ?? findOnPath('pg_rewind');
}
