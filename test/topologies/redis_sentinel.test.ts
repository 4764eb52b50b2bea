/** Redis behind Sentinel: a primary hangs while people sign in, its replica takes over, and the old primary returns. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Instances, passedOf, startInstances } from './instances.ts';
import {
  createRedisServers,
  type RedisServer,
  type RedisServers,
  redisProgram,
  until,
  userInUrl,
} from './redis_servers.ts';

describe.skipIf(!redisProgram)('Sentinel', () => {
  const limit = 20;
  let redis: RedisServers;
  let primary: RedisServer;
  let replica: RedisServer;
  let sentinels: RedisServer[];
  let instances: Instances;
  beforeAll(async () => {
    redis = await createRedisServers();
    primary = await redis.start();
    replica = await redis.start(`replicaof 127.0.0.1 ${primary.port}`);
    sentinels = await redis.startSentinels(primary);
    for (const sentinel of sentinels)
      await until(async () => {
        const known = (await sentinel.ask((client) => client.call('SENTINEL', 'MASTER', 'main'))) as string[];
        const value = (name: string) => Number(known[known.indexOf(name) + 1]);
        return value('num-slaves') === 1 && value('num-other-sentinels') === 2;
      });
    const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
    const url = `rediss+sentinel://${userInUrl}@${hosts}/main?sentinel_password=an-administrators-password`;
    instances = await startInstances(limit, url, redis.settings);
  });
  afterAll(async () => {
    await instances?.close();
    await redis.close();
  });

  const counts = (network: string) =>
    instances.undisturbed((time) => passedOf(instances, `${network}.${time + 1}`, 2 * limit));
  const counted = (server: RedisServer): Promise<number> =>
    server.ask(async (client) => (await client.keys('cypher:limit:*')).length);
  const cachesAre = (state: string) => async () => (await instances.caches()).every((each) => each === state);

  test('the primary hangs while people sign in: nobody is refused, limits go on, and the state says degraded, then ok', async () => {
    expect(await instances.caches()).toEqual(['ok', 'ok']);
    expect(await counts('203.0.1')).toBe(limit);
    expect(await counted(primary)).toBeGreaterThan(0);

    let over = false;
    let people = 0;
    const stream = async (line: string) => {
      while (!over) {
        await instances.signIn(`${line}${people}`);
        people += 1;
      }
    };
    const failOver = async () => {
      await until(() => people > 0);
      primary.pause();
      await until(cachesAre('degraded'));
      // Counted by both together, though there is no Redis, as long as neither of them has another one.
      const passed = await passedOf(instances, '203.0.113.2', 2 * limit);
      expect(passed).toBeLessThanOrEqual((await cachesAre('degraded')()) ? limit : 2 * limit);
      expect(passed).toBeGreaterThanOrEqual(limit);
      await until(cachesAre('ok'));
      const before = people;
      await until(() => people > before + 1);
      over = true;
    };
    await Promise.all([stream('a'), stream('b'), failOver()]).finally(() => {
      over = true;
    });
    expect(await counts('203.0.3')).toBe(limit);
    expect(await counted(replica)).toBeGreaterThan(0);
  });

  test('the old primary goes on and becomes a replica: no instance goes by it', async () => {
    primary.resume();
    // The sentinels tell it what it is now.
    await until(async () => /role:slave/.test(await primary.ask((client) => client.info('replication'))));
    await until(async () =>
      /master_link_status:up/.test(await primary.ask((client) => client.info('replication'))),
    );
    await until(cachesAre('ok'));
    expect(await counts('203.0.4')).toBe(limit);
    expect(await counted(replica)).toBeGreaterThan(0);
  });

  test('a switchover by hand: the present primary becomes a replica under open connections, and the instances follow', async () => {
    await sentinels[0]?.ask((client) => client.call('SENTINEL', 'FAILOVER', 'main'));
    const isPrimary = async (server: RedisServer) =>
      /role:master/.test(await server.ask((client) => client.info('replication')));
    await until(() => isPrimary(primary));
    let switched = 0;
    await until(async () => !(await isPrimary(replica)));
    // Each instance notices by its next write at the latest, and nobody is refused for it.
    await until(async () => {
      await instances.signIn(`switched${switched++}`);
      return (await counted(primary)) > 0 && cachesAre('ok')();
    });
    expect(await counts('203.0.6')).toBe(limit);
  });
});
