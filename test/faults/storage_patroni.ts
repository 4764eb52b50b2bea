/**
 * PostgreSQL as Patroni runs it, with three nodes. The instances find the primary by HAProxy, or by a DATABASE_URL that names
 * all nodes. With asynchronous replication some faults let the replicas fall behind first: then a failover loses what was
 * acknowledged meanwhile, and nothing else.
 */
import pg from 'pg';
import { startHaproxy } from '../support/haproxy.ts';
import { type PatroniCluster, startPatroni } from '../support/patroni.ts';
import type { PatroniNode } from '../support/patroni_node.ts';
import { durableWrite } from './probes.ts';
import type { Random } from './random.ts';
import { startRedisPair } from './redis.ts';
import { aWhile, type FaultKind, type Injected, type StartStorage } from './storage.ts';

export interface PatroniOptions {
  synchronous: boolean;
  by: 'haproxy' | 'hosts';
}

export const startPatroniStorage =
  ({ synchronous, by }: PatroniOptions): StartStorage =>
  async (directory, now) => {
    const [cluster, redis] = await Promise.all([
      startPatroni(directory, synchronous),
      startRedisPair(directory),
    ]);
    const haproxy = by === 'haproxy' ? await startHaproxy(directory, cluster.nodes) : undefined;
    return {
      databaseUrl: haproxy
        ? cluster.urlAt(haproxy)
        : `${cluster.urlAt(...cluster.nodes)}?target_session_attrs=read-write`,
      redisUrl: redis.url,
      query: cluster.query,
      ...(haproxy && { write: () => writeAt(cluster.urlAt(haproxy)) }),
      faults: faultsOf(cluster, now, synchronous),
      losesInFailover: !synchronous,
      async stop() {
        haproxy?.stop();
        redis.kill();
        await cluster.stop();
      },
    };
  };

async function writeAt(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 1000, query_timeout: 10_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query(durableWrite);
  } finally {
    await client.end().catch(() => {});
  }
}

function faultsOf(cluster: PatroniCluster, now: () => number, synchronous: boolean) {
  const { killed, partitioned, switchedOver } = createFaults(cluster, now);
  const faults: Record<string, FaultKind> = {
    'kill the primary': { weight: 3, target: 'postgres', inject: (random) => killed(random, false) },
    'partition the primary': {
      weight: 3,
      target: 'postgres',
      inject: (random) => partitioned(random, !synchronous),
    },
    'switch over': { weight: 3, target: 'postgres', inject: switchedOver },
  };
  if (!synchronous)
    faults['kill the primary while its replicas are behind'] = {
      weight: 3,
      target: 'postgres',
      inject: (random) => killed(random, true),
    };
  return faults;
}

function createFaults(cluster: PatroniCluster, now: () => number) {
  /** Waits for the new primary, and for the first write that it confirms. */
  async function takenOver(before: PatroniNode): Promise<Injected & { until: number }> {
    await cluster.promoted(before.name);
    const from = now();
    await cluster.confirms();
    return { until: now(), stalls: { from, until: now() } };
  }
  return {
    async killed(random: Random, behind: boolean): Promise<Injected> {
      const primary = await cluster.primary();
      const from = now();
      if (behind) {
        primary.loseReplicas();
        await aWhile(random, 500, 3000);
      }
      primary.kill();
      const over = await takenOver(primary);
      await primary.regainReplicas();
      primary.launch();
      await cluster.whole();
      return { ...over, ...(behind && { loses: [{ from, until: over.until }] }) };
    },
    async partitioned(random: Random, loses: boolean): Promise<Injected> {
      const primary = await cluster.primary();
      const from = now();
      primary.pause();
      const over = await takenOver(primary);
      await aWhile(random, 0, 2000);
      // For a moment it still takes itself for the primary. Nobody confirms what it is told then.
      const resumed = now();
      primary.resume();
      await cluster.whole();
      const periods = [
        { from, until: over.until },
        { from: resumed, until: now() },
      ];
      return { ...over, ...(loses && { loses: periods }) };
    },
    async switchedOver(): Promise<Injected> {
      const primary = await cluster.primary();
      await cluster.switchover();
      const over = await takenOver(primary);
      await cluster.whole();
      return over;
    },
  };
}
