/** Opens connections to Redis: to a single server, to the primary that Sentinel names, or to a cluster. */
import { Cluster, Command, Redis } from 'ioredis';
import type { RedisHost, RedisTarget } from '../lib/redis_target.ts';

export type RedisClient = Redis | Cluster;

/** The prefix of all keys in Redis. */
export const redisPrefix = 'cypher:';

const connectTimeoutMs = 1000;
const slowestRetryMs = 500;

/**
 * A client that connects by itself, and again whenever the connection is lost. A command that cannot be sent at once
 * is rejected, and none is sent twice, because what is counted must be counted once.
 */
export function createRedisClient(target: RedisTarget, commandTimeoutMs: number): RedisClient {
  const { kind, hosts, name, database, sentinelUser, tls } = target;
  const retryStrategy = (attempt: number) => Math.min(attempt * 100, slowestRetryMs);
  const options = {
    ...ofEachConnection(target, commandTimeoutMs),
    enableOfflineQueue: false,
    retryStrategy,
  };
  if (kind === 'cluster') {
    return new Cluster(hosts, {
      redisOptions: ofEachConnection(target, commandTimeoutMs),
      enableOfflineQueue: false,
      clusterRetryStrategy: retryStrategy,
      // A certificate names hosts. By default they would be replaced by their addresses.
      dnsLookup: (host, callback) => callback(null, host),
      // A command that meets a failover fails at once, like any other that meets an outage.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
    });
  }
  if (kind === 'sentinel') {
    return new Redis({
      ...options,
      sentinels: hosts,
      name,
      sentinelUsername: sentinelUser.username,
      sentinelPassword: sentinelUser.password,
      sentinelCommandTimeout: connectTimeoutMs,
      sentinelRetryStrategy: retryStrategy,
      ...(tls && { enableTLSForSentinelMode: true, sentinelTLS: tls }),
    });
  }
  return new Redis({ ...options, ...hosts[0], db: database });
}

/**
 * Ends the connections that nobody has opened, of a cluster's client that disconnects. It connects again once all its
 * connections have ended. An answer that came meanwhile (`MOVED`) may have added one, which never ends by itself.
 */
export function endUnopened(client: RedisClient): void {
  if (!(client instanceof Cluster) || client.status !== 'disconnecting') return;
  for (const node of client.nodes()) if (node.status === 'wait') node.disconnect();
}

/** One connection to one host of `target`, which does not reconnect. Commands wait until it is open. */
export function connectOnce(target: RedisTarget, host: RedisHost, timeoutMs: number): Redis {
  const isSentinel = target.kind === 'sentinel' && target.hosts.includes(host);
  return new Redis({
    ...ofEachConnection(target, timeoutMs),
    ...host,
    ...(isSentinel && { ...noUser, ...target.sentinelUser }),
    db: target.database,
    // A sentinel and a server that is starting have no data to be ready with.
    enableReadyCheck: false,
    retryStrategy: null,
  });
}

const noUser = { username: undefined, password: undefined };

/** The options of every connection, whatever it leads to. */
const ofEachConnection = ({ user, tls }: RedisTarget, commandTimeout: number) => ({
  ...user,
  ...(tls && { tls }),
  commandTimeout,
  connectTimeout: connectTimeoutMs,
  // A hanging server does not end a connection that we have left.
  disconnectTimeout: 100,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  // So that the user of the connection needs no right to CLIENT.
  disableClientInfo: true,
});

/** Keys, without the prefix, that together lie on every server that takes writes: one on each. */
export function keysOnEachPrimary(client: RedisClient): string[] {
  if (client instanceof Redis) return ['probe'];
  const primaries = new Set(client.slots.map(([primary]) => primary));
  const keys = new Map<string | undefined, string>();
  for (let n = 0; n < mostKeysTried && keys.size < primaries.size; n++) {
    const key = `probe:${n}`;
    const slot = new Command('set', [redisPrefix + key]).getSlot();
    const [primary] = client.slots[slot ?? 0] ?? [];
    if (!keys.has(primary)) keys.set(primary, key);
  }
  return [...keys.values()];
}

/** Far more than are needed until each of a cluster's servers has one, unless one has hardly any slots. */
const mostKeysTried = 5000;
