/**
 * What Redis says at the start: an instance is refused, with the reason, where no waiting would help. And a server
 * that becomes a replica is left alone until it can be written to.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { redisTarget } from '../../src/config/redis.ts';
import { settingsSchema } from '../../src/config/schema.ts';
import type { RedisTarget } from '../../src/lib/redis_target.ts';
import { type Cache, openRedisCache } from '../../src/storage/cache.ts';
import { runCypher } from '../support/cypher.ts';
import { createDatabase } from '../support/databases.ts';
import { startProcess } from '../support/provider_process.ts';
import {
  createRedisServers,
  type RedisServer,
  type RedisServers,
  redisProgram,
  until,
  user,
  userInUrl,
} from './redis_servers.ts';

describe.skipIf(!redisProgram)('Redis at the start', () => {
  let redis: RedisServers;
  let single: RedisServer;
  let plain: RedisServer;
  let sentinels: RedisServer[];
  let cluster: RedisServer[];
  let strangeCa: string;
  const opened: Cache[] = [];
  beforeAll(async () => {
    redis = await createRedisServers();
    single = await redis.start('user reader on >x ~cypher:* +get +info', 'databases 2');
    plain = await redis.startPlain();
    sentinels = await redis.startSentinels(single);
    cluster = await redis.startCluster();
    strangeCa = (await redis.certificates.selfSigned('/CN=Another CA')).pem;
  });
  afterAll(async () => {
    await Promise.all(opened.map((cache) => cache.close()));
    await redis?.close();
  });

  const targetOf = (url: string, settings: Record<string, string>) =>
    redisTarget(settingsSchema.parse({ REDIS_URL: url, ...settings })) as RedisTarget;
  async function open(
    url: string,
    settings: Record<string, string> = url.startsWith('rediss') ? redis.settings : {},
  ) {
    const states: string[] = [];
    const cache = await openRedisCache(targetOf(url, settings), { onChange: (state) => states.push(state) });
    opened.push(cache);
    return { cache, states };
  }
  const hostsOf = (servers: RedisServer[]) => servers.map(({ port }) => `127.0.0.1:${port}`).join(',');
  const sentinelPassword = 'sentinel_password=an-administrators-password';
  const without = (...names: string[]) =>
    Object.fromEntries(Object.entries(redis.settings).filter(([name]) => !names.includes(name)));

  test('a single server, sentinels and a cluster are written to, by a user with the least rights', async () => {
    for (const url of [
      `rediss://${userInUrl}@127.0.0.1:${single.port}`,
      `rediss://${userInUrl}@localhost:${single.port}/1`,
      `rediss+sentinel://${userInUrl}@${hostsOf(sentinels)}/main?${sentinelPassword}`,
      `rediss+cluster://${userInUrl}@${hostsOf(cluster)}`,
      `redis://127.0.0.1:${plain.port}`,
    ]) {
      const { cache, states } = await open(url);
      expect([url, cache.state(), states]).toEqual([url, 'ok', []]);
    }
  });

  test.each<[string, () => string, RegExp, (() => Record<string, string>)?]>([
    [
      'a wrong password',
      () => `rediss://${user.name}:wrong@127.0.0.1:${single.port}`,
      /user or the password is wrong/,
    ],
    ['no password', () => `rediss://127.0.0.1:${single.port}`, /asks for a password/],
    ['a user that may not write', () => `rediss://reader:x@127.0.0.1:${single.port}`, /not allowed .*'set'/],
    [
      'a database that is not there',
      () => `rediss://${userInUrl}@127.0.0.1:${single.port}/7`,
      /no database of that number/,
    ],
    [
      'another CA',
      () => `rediss://${userInUrl}@127.0.0.1:${single.port}`,
      /certificate of Redis cannot be verified.*REDIS_CA/,
      () => ({ ...redis.settings, REDIS_CA: strangeCa }),
    ],
    [
      'no CA',
      () => `rediss://${userInUrl}@127.0.0.1:${single.port}`,
      /certificate of Redis cannot be verified.*REDIS_CA/,
      () => without('REDIS_CA'),
    ],
    [
      'no certificate of ours',
      () => `rediss://${userInUrl}@127.0.0.1:${single.port}`,
      /refuses the certificate of this server/,
      () => without('REDIS_CERTIFICATE', 'REDIS_KEY'),
    ],
    [
      'a server of a cluster as a single one',
      () => `rediss://${userInUrl}@${hostsOf(cluster.slice(0, 1))}`,
      /it is a cluster/,
    ],
    ['a single server as a cluster', () => `redis+cluster://127.0.0.1:${plain.port}`, /it is no cluster/],
    [
      'a wrong password of a cluster',
      () => `rediss+cluster://${user.name}:x@${hostsOf(cluster)}`,
      /user or the password is wrong/,
    ],
    [
      'another CA of a cluster',
      () => `rediss+cluster://${userInUrl}@${hostsOf(cluster)}`,
      /cannot be verified/,
      () => ({ ...redis.settings, REDIS_CA: strangeCa }),
    ],
    [
      'a name that no sentinel knows',
      () => `rediss+sentinel://${userInUrl}@${hostsOf(sentinels)}/mian?${sentinelPassword}`,
      /no primary that is called "mian"/,
    ],
    [
      'a wrong password of the sentinels',
      () => `rediss+sentinel://${userInUrl}@${hostsOf(sentinels)}/main?sentinel_password=x`,
      /user or the password is wrong/,
    ],
    [
      'a wrong password behind the sentinels',
      () => `rediss+sentinel://${user.name}:x@${hostsOf(sentinels)}/main?${sentinelPassword}`,
      /user or the password is wrong/,
    ],
    [
      'another CA of the sentinels',
      () => `rediss+sentinel://${userInUrl}@${hostsOf(sentinels)}/main?${sentinelPassword}`,
      /cannot be verified/,
      () => ({ ...redis.settings, REDIS_CA: strangeCa }),
    ],
    ['no sentinel', () => `redis+sentinel://127.0.0.1:${plain.port}/main`, /there are no sentinels/],
  ])('%s is refused with the reason', async (_what, url, reason, settings) => {
    const refused = await open(url(), settings?.()).then(
      () => undefined,
      (error: Error) => error,
    );
    expect([refused?.name, refused?.message]).toEqual(['RedisRefused', expect.stringMatching(reason)]);
    expect(refused?.message).not.toContain(user.password);
  });

  test('a server that cannot be reached now is waited for', async () => {
    await plain.kill();
    const { cache } = await open(`redis://127.0.0.1:${plain.port}`);
    expect([cache.state(), await cache.count('x', 60)]).toEqual(['degraded', undefined]);
    await plain.restart();
    await until(() => cache.state() === 'ok');
    expect(await cache.count('x', 60)).toEqual({ count: 1, secondsLeft: 60 });
  });

  test('a primary that becomes a replica is not written to, and not gone back to before it takes writes', async () => {
    const { cache, states } = await open(`redis://127.0.0.1:${plain.port}`);
    expect((await cache.count('y', 60))?.count).toBe(1);
    await plain.ask((client) => client.replicaof('127.0.0.1', String(single.port)));
    expect(await cache.count('y', 60)).toBeUndefined();
    // It answers each PING, and refuses each write.
    const refusals = async () =>
      Number(
        /errorstat_READONLY:count=(\d+)/.exec(await plain.ask((client) => client.info('errorstats')))?.[1] ??
          0,
      );
    const before = await refusals();
    await until(async () => {
      expect(await cache.count('y', 60)).toBeUndefined();
      return (await refusals()) > before + 3;
    });
    expect([cache.state(), states]).toEqual(['degraded', ['degraded']]);
    await plain.ask((client) => client.replicaof('NO', 'ONE'));
    await until(() => cache.state() === 'ok');
    expect(states).toEqual(['degraded', 'ok']);
    expect((await cache.count('y', 60))?.count).toBeGreaterThan(1);
  });

  test('the doctor says what Redis is, or why it cannot be used', async () => {
    const doctor = async (url: string) => {
      const { stdout } = await runCypher(['doctor', '--json'], {
        REDIS_URL: url,
        DATABASE_URL: 'postgres://cypher:x@127.0.0.1:1/cypher',
        ...redis.settings,
      });
      const findings = JSON.parse(stdout) as { about: string; level: string; found: string }[];
      const { level, found } = findings.find(({ about }) => about === 'redis') ?? {};
      return [level, found];
    };
    const sound = `rediss+cluster://${userInUrl}@${hostsOf(cluster)}`;
    expect(await doctor(sound)).toEqual(['ok', expect.stringMatching(/^cluster, Redis \d.*accepts writes/)]);
    const unknown = `rediss+sentinel://${userInUrl}@${hostsOf(sentinels)}/mian?${sentinelPassword}`;
    expect(await doctor(unknown)).toEqual([
      'fault',
      expect.stringMatching(/no primary that is called "mian"/),
    ]);
  });

  test('npm start ends at once with the reason, and says nothing of the password', async () => {
    const database = await createDatabase();
    try {
      const started = await startProcess({
        DATABASE_URL: database.url,
        REDIS_URL: `rediss://${user.name}:a-wrong-password@127.0.0.1:${single.port}`,
        ...redis.settings,
      });
      expect(await started.ended).toBe(78);
      expect(started.output()).toContain(
        'Cypher cannot start: REDIS_URL cannot be used: the user or the password is wrong',
      );
      expect(started.output()).not.toContain('a-wrong-password');
    } finally {
      await database.drop();
    }
  });
});
