/** A Redis cluster: limits are counted once, wherever their keys lie, also while one of its servers is away. */

import { type Cluster, Command } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { redisTarget } from '../../src/config/redis.ts';
import { settingsSchema } from '../../src/config/schema.ts';
import type { RedisTarget } from '../../src/lib/redis_target.ts';
import { createRedisBreaker } from '../../src/storage/redis_breaker.ts';
import { createRedisClient } from '../../src/storage/redis_client.ts';
import { type Instances, passedOf, startInstances } from './instances.ts';
import {
  createRedisServers,
  type RedisServer,
  type RedisServers,
  redisProgram,
  until,
  userInUrl,
} from './redis_servers.ts';

describe.skipIf(!redisProgram)('Cluster', () => {
  const limit = 20;
  let redis: RedisServers;
  let nodes: RedisServer[];
  let instances: Instances;
  let url: string;
  /** Where Cypher is told that the cluster is. */
  const target = () =>
    redisTarget(settingsSchema.parse({ REDIS_URL: url, ...redis.settings })) as RedisTarget;
  beforeAll(async () => {
    redis = await createRedisServers();
    nodes = await redis.startCluster();
    const hosts = nodes.slice(0, 2).map(({ port }) => `127.0.0.1:${port}`);
    url = `rediss+cluster://${userInUrl}@${hosts.join(',')}`;
    instances = await startInstances(limit, url, redis.settings);
  });
  afterAll(async () => {
    await instances?.close();
    await redis.close();
  });

  const addresses = (network: string) => Array.from({ length: 6 }, (_, n) => `${network}.${n + 1}`);
  const passedOfEach = (network: string): Promise<number[]> =>
    Promise.all(addresses(network).map((address) => passedOf(instances, address, 2 * limit)));
  const counts = (network: string) => instances.undisturbed((time) => passedOfEach(`${network}.${time}`));
  const exactly = addresses('').map(() => limit);
  const cachesAre = (state: string) => async () => (await instances.caches()).every((each) => each === state);

  test('of twice as many requests exactly the limit passes, over two instances and three servers', async () => {
    expect(await instances.caches()).toEqual(['ok', 'ok']);
    expect(await counts('203.0')).toEqual(exactly);
    const kept = await Promise.all(
      nodes.map((node) => node.ask((client) => client.keys('cypher:limit:user code:203.0.*'))),
    );
    expect(kept.flat().length).toBeGreaterThanOrEqual(addresses('').length);
    expect(kept.filter((keys) => keys.length > 0).length).toBeGreaterThan(1);
  });

  test('one of its servers is killed: people sign in, the limits hold, and they are counted there again once it is back', async () => {
    const [, , third] = nodes as [RedisServer, RedisServer, RedisServer];
    await third.kill();
    // The cache is found to be away by the first request whose count lies there.
    await until(async () => {
      await passedOfEach('198.51.101');
      return cachesAre('degraded')();
    });
    await instances.signIn('ada');
    expect(await counts('203.1')).toEqual(exactly);
    // Two of three write, so that a PING would be answered. Nobody goes back before all of them do.
    expect(await instances.caches()).toEqual(['degraded', 'degraded']);
    await third.restart();
    await until(cachesAre('ok'));
    expect(await counts('203.2')).toEqual(exactly);
  });

  test('a client that is told of another server while it disconnects connects again', async () => {
    const client = createRedisClient(target(), 1000) as Cluster;
    const breaker = createRedisBreaker(client, async () => void (await client.set('cypher:probe', '0')), {});
    try {
      expect(await breaker.firstWrite()).toBe(true);
      const slotOf = (key: string) => new Command('get', [key]).getSlot() as number;
      const primaryOf = (key: string) => client.slots[slotOf(key)]?.[0];
      const key = 'cypher:any';
      const right = primaryOf(key);
      const others = Array.from({ length: 100 }, (_, n) => `cypher:${n}`);
      const keyOfAnother = others.find((other) => primaryOf(other) !== right) as string;
      const wrong = String(primaryOf(keyOfAnother));
      // Until the answer comes after the client has begun to disconnect, and before its connections have ended.
      await until(async () => {
        await until(() => client.status === 'ready');
        await client.get(keyOfAnother);
        client.slots[slotOf(key)] = [wrong];
        const asked = client.get(key).catch(() => {});
        client.disconnect(true);
        await asked;
        return client.status === 'disconnecting' && client.nodes().length > 0;
      });
      await until(() => breaker.state() === 'ok' && client.status === 'ready');
    } finally {
      breaker.stop();
      client.disconnect();
    }
  });
});
