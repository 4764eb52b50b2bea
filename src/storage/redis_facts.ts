/** Reads facts and single values from a Redis, for the command line. Each call opens a connection of its own. */
import { Redis } from 'ioredis';
import { redisPrefix } from './cache.ts';

export interface RedisFacts {
  version: string;
  /** In bytes; 0 means no limit. */
  maxMemory: number;
  evictionPolicy: string;
}

/**
 * Reads version, memory limit and eviction policy. Uses INFO, because managed services do not allow CONFIG. Rejects
 * if Redis does not connect within two seconds, or does not answer within two.
 */
export const readRedisFacts = (url: string): Promise<RedisFacts> =>
  askRedis(url, async (redis) => {
    const info = new Map(
      (await redis.info()).split('\r\n').map((line): [string, string] => {
        const [name = '', value = ''] = line.split(':', 2);
        return [name, value];
      }),
    );
    return {
      version: info.get('redis_version') ?? '',
      maxMemory: Number(info.get('maxmemory') ?? 0),
      evictionPolicy: info.get('maxmemory_policy') ?? '',
    };
  });

/** One value of the cache. Rejects if Redis does not connect within two seconds, or does not answer within two. */
export const readRedisValue = (url: string, key: string): Promise<string | undefined> =>
  askRedis(url, async (redis) => (await redis.get(redisPrefix + key)) ?? undefined);

async function askRedis<T>(url: string, ask: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, {
    connectTimeout: 2000,
    commandTimeout: 2000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    lazyConnect: true,
  });
  let failed: Error | undefined;
  redis.on('error', (error: Error) => {
    failed = error;
  });
  try {
    await redis.connect();
    return await ask(redis);
  } catch (error) {
    throw failed ?? error;
  } finally {
    redis.disconnect();
  }
}
