/** The topologies that operators have, by name: what each is, how its storage is started, and what it needs. */
import { missingForPatroni } from '../support/patroni_programs.ts';
import { findPgBouncer } from '../support/programs.ts';
import { redisProgram } from '../topologies/redis_servers.ts';
import type { StartStorage } from './storage.ts';
import { startPatroniStorage } from './storage_patroni.ts';
import { startBehindPgBouncer } from './storage_pgbouncer.ts';
import { startWithCluster, startWithoutRedis, startWithSentinel } from './storage_redis.ts';

export interface Topology {
  what: string;
  start: StartStorage;
  /** What is missing on this machine, if anything. */
  missing(): string | undefined;
}

const forRedis = () => (redisProgram ? undefined : 'redis-server 7 or later');

export const topologies: Record<string, Topology> = {
  'patroni-synchronous': {
    what: 'Patroni with synchronous replication, HAProxy',
    start: startPatroniStorage({ synchronous: true, by: 'haproxy' }),
    missing: missingForPatroni,
  },
  'patroni-asynchronous': {
    what: 'Patroni with asynchronous replication, HAProxy',
    start: startPatroniStorage({ synchronous: false, by: 'haproxy' }),
    missing: missingForPatroni,
  },
  'patroni-hosts': {
    what: 'Patroni with synchronous replication, a DATABASE_URL with all hosts',
    start: startPatroniStorage({ synchronous: true, by: 'hosts' }),
    missing: missingForPatroni,
  },
  pgbouncer: {
    what: 'PostgreSQL behind PgBouncer in transaction mode',
    start: startBehindPgBouncer,
    missing: () => (findPgBouncer() ? undefined : 'pgbouncer'),
  },
  'redis-sentinel': { what: 'Redis with three sentinels', start: startWithSentinel, missing: forRedis },
  'redis-cluster': {
    what: 'a Redis cluster of three primaries with a replica each',
    start: startWithCluster,
    missing: forRedis,
  },
  'without-redis': {
    what: 'two instances without Redis',
    start: startWithoutRedis,
    missing: () => undefined,
  },
};
