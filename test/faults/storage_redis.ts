/** One PostgreSQL, and Redis as operators run it who cannot do without: Sentinel, or a cluster with replicas. Or no Redis at all. */
import {
  createRedisServers,
  type RedisServer,
  type RedisServers,
  until,
  userInUrl,
} from '../topologies/redis_servers.ts';
import type { Random } from './random.ts';
import type { FaultKind, StartStorage } from './storage.ts';
import { faultsOfPostgres, startPostgresIn } from './storage_single.ts';

export const startWithoutRedis: StartStorage = async (directory) => {
  const postgres = await startPostgresIn(directory);
  return {
    databaseUrl: postgres.url,
    redisUrl: undefined,
    query: postgres.query,
    faults: faultsOfPostgres(postgres),
    stop: postgres.stop,
  };
};

interface Primaries {
  url: string;
  /** The servers that take writes now. Those in `away` are not asked. */
  primaries(away: readonly RedisServer[]): Promise<RedisServer[]>;
  /** Makes a replica of this server the primary, while it runs. */
  switchOver(primary: RedisServer): Promise<void>;
}

export const startWithSentinel = startWith(async (redis) => {
  const first = await redis.start();
  const servers = [first, await redis.start(`replicaof 127.0.0.1 ${first.port}`)];
  const sentinels = await redis.startSentinels(first);
  const [sentinel] = sentinels;
  const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join();
  async function primaries(): Promise<RedisServer[]> {
    const address = await sentinel?.ask((client) =>
      client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main'),
    );
    const port = Number((address as string[])[1]);
    return servers.filter((server) => server.port === port);
  }
  // Sentinels that do not know the replica yet cannot promote it.
  for (const each of sentinels)
    await until(async () => {
      const facts = (await each.ask((client) => client.call('SENTINEL', 'MASTER', 'main'))) as string[];
      const value = (name: string) => Number(facts[facts.indexOf(name) + 1]);
      return value('num-slaves') === 1 && value('num-other-sentinels') === 2;
    });
  return {
    url: `rediss+sentinel://${userInUrl}@${hosts}/main?sentinel_password=an-administrators-password`,
    primaries,
    switchOver: () =>
      until(async () => {
        // Refused soon after the last failover.
        const begun = await sentinel?.ask((client) =>
          client.call('SENTINEL', 'FAILOVER', 'main').catch(() => 'refused'),
        );
        return begun === 'OK';
      }),
  };
});

export const startWithCluster = startWith(async (redis) => {
  const servers = await redis.startCluster({ replicas: true });
  const hosts = servers.map(({ port }) => `127.0.0.1:${port}`).join();
  const nodesBy = async (server: RedisServer | undefined) => {
    const text = (await server?.ask((client) => client.call('CLUSTER', 'NODES'))) as string;
    // https://redis.io/docs/latest/commands/cluster-nodes/
    return text.split('\n').flatMap((line) => {
      const [id, address, flags = '', primaryId, , , , , ...slots] = line.split(' ');
      const port = Number(/:(\d+)@/.exec(address ?? '')?.[1]);
      const found = servers.find((each) => each.port === port);
      return found ? [{ id, server: found, flags: flags.split(','), primaryId, slots }] : [];
    });
  };
  return {
    url: `rediss+cluster://${userInUrl}@${hosts}`,
    async primaries(away) {
      const nodes = await nodesBy(servers.find((server) => !away.includes(server)));
      return nodes
        .filter(({ flags, slots }) => flags.includes('master') && !flags.includes('fail') && slots.length > 0)
        .map(({ server }) => server);
    },
    async switchOver(primary) {
      const nodes = await nodesBy(primary);
      const of = nodes.find(({ server }) => server === primary);
      const replica = nodes.find(({ primaryId }) => primaryId === of?.id);
      await replica?.server.ask((client) => client.call('CLUSTER', 'FAILOVER'));
    },
  };
});

function startWith(startServers: (redis: RedisServers) => Promise<Primaries>): StartStorage {
  return async (directory) => {
    const [postgres, redis] = await Promise.all([startPostgresIn(directory), createRedisServers()]);
    const servers = await startServers(redis);
    const { 'kill postgres': killPostgres } = faultsOfPostgres(postgres);
    return {
      databaseUrl: postgres.url,
      redisUrl: servers.url,
      settings: redis.settings,
      query: postgres.query,
      faults: { ...failoversOf(servers), ...(killPostgres && { 'kill postgres': killPostgres }) },
      async stop() {
        await redis.close();
        await postgres.stop();
      },
    };
  };
}

function failoversOf({ primaries, switchOver }: Primaries): Record<string, FaultKind> {
  /** One that is not in step with its primary cannot take its place in the next fault. */
  const isReplica = async (server: RedisServer) => {
    const facts = await server.ask((client) => client.info('replication'));
    return facts.includes('role:slave') && facts.includes('master_link_status:up');
  };
  /** Takes one of them away until another one has its place, and waits until it is back as a replica. */
  async function replaced(
    random: Random,
    take: (server: RedisServer) => Promise<void> | void,
    giveBack: (server: RedisServer) => Promise<void> | void,
  ): Promise<void> {
    const before = await primaries([]);
    const primary = random.pick(before);
    await take(primary);
    await until(async () => {
      const now = await primaries([primary]);
      return now.length === before.length && !now.includes(primary);
    });
    await giveBack(primary);
    await until(() => isReplica(primary));
  }
  return {
    'kill a Redis primary': {
      weight: 4,
      target: 'redis',
      inject: (random) =>
        replaced(
          random,
          (server) => server.kill(),
          (server) => server.restart(),
        ),
    },
    'pause a Redis primary': {
      weight: 3,
      target: 'redis',
      inject: (random) =>
        replaced(
          random,
          (server) => server.pause(),
          (server) => server.resume(),
        ),
    },
    'switch a Redis primary over': {
      weight: 3,
      target: 'redis',
      async inject(random) {
        const primary = random.pick(await primaries([]));
        await switchOver(primary);
        await until(() => isReplica(primary));
      },
    },
  };
}
