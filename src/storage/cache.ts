/**
 * The cache: Redis, if it is configured. It holds the counts of rate limits and a copy of the restore mark. All of it
 * may be lost. While Redis cannot be written to, every call answers at once, as if nothing were cached.
 */
import type { Result } from 'ioredis';
import type { RedisTarget } from '../lib/redis_target.ts';
import type { Count } from './counts.ts';
import { createRedisBreaker, type RedisEvents, type RedisState } from './redis_breaker.ts';
import { createRedisClient, keysOnEachPrimary, type RedisClient, redisPrefix } from './redis_client.ts';
import { RedisRefused, whyRefused } from './redis_refusals.ts';

export interface Cache {
  get(key: string): Promise<string | undefined>;
  /** Keeps `value` for `ttlSeconds`. Returns false if it could not be kept. */
  set(key: string, value: string, ttlSeconds: number): Promise<boolean>;
  /**
   * Counts one in the window of `bucket`. The first one starts a window of `seconds`; after it the count starts
   * again. Returns undefined if it could not be counted.
   */
  count(bucket: string, seconds: number): Promise<Count | undefined>;
  /** `none`: no Redis is configured. `degraded`: it is configured, and cannot be written to. */
  state(): RedisState | 'none';
  close(): Promise<void>;
}

/** The cache where no Redis is configured. */
export const noCache: Cache = {
  get: async () => undefined,
  set: async () => false,
  count: async () => undefined,
  state: () => 'none',
  close: async () => {},
};

const answerWithinMs = 250;
/** When the client gives a command up. By then nobody waits for it any more. */
const commandTimeoutMs = 1000;

/**
 * Opens the cache on `target`. Resolves when Redis was written to, or when it cannot be reached now: then the cache is
 * `degraded` until it can. Rejects with RedisRefused if no waiting would help, such as for a wrong password.
 */
export async function openRedisCache(target: RedisTarget, events: RedisEvents = {}): Promise<Cache> {
  const client = createRedisClient(target, commandTimeoutMs);
  const commands = commandsOf(client);
  const breaker = createRedisBreaker(client, commands.writeEverywhere, events);
  if (!(await breaker.firstWrite())) {
    const reason = (await whyRefused(target)) ?? breaker.refusal();
    if (reason) {
      breaker.stop();
      client.disconnect();
      throw new RedisRefused(reason);
    }
  }
  const { attempt } = breaker;
  return {
    state: breaker.state,
    get: async (key) => (await attempt(() => commands.get(key))) ?? undefined,
    set: async (key, value, ttlSeconds) =>
      (await attempt(() => commands.set(key, value, ttlSeconds))) === 'OK',
    count: (bucket, seconds) => attempt(() => commands.count(bucket, seconds)),
    async close() {
      breaker.stop();
      client.disconnect();
    },
  };
}

declare module 'ioredis' {
  interface RedisCommander<Context> {
    cypherCount(key: string, ms: number): Result<[count: number, leftMs: number], Context>;
  }
}

/** Repairs a count without an end too: a restored dump, or somebody else, may have left one. */
const countScript = `
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  left = tonumber(ARGV[1])
  redis.call('PEXPIRE', KEYS[1], left)
end
return {count, left}`;

/** All commands that are ever sent. Each is about a single key, so a cluster can run it. */
function commandsOf(client: RedisClient) {
  client.defineCommand('cypherCount', { numberOfKeys: 1, lua: countScript });
  const get = (key: string) => inTime(client.get(redisPrefix + key));
  const set = (key: string, value: string, ttlSeconds: number) =>
    inTime(client.set(redisPrefix + key, value, 'EX', Math.max(1, Math.ceil(ttlSeconds))));
  const count = async (bucket: string, seconds: number): Promise<Count> => {
    const [counted, leftMs] = await inTime(client.cypherCount(redisPrefix + bucket, seconds * 1000));
    return { count: counted, secondsLeft: Math.ceil(leftMs / 1000) };
  };
  return {
    get,
    set,
    count,
    /** Sends each command to each server that takes writes. A PING would be answered by a replica too. */
    async writeEverywhere() {
      const keys = keysOnEachPrimary(client);
      if (keys.length === 0) throw new Error('the servers of the cluster are not known yet');
      await Promise.all(
        keys.map(async (key) => {
          await set(key, '0', 60);
          await count(key, 60);
          await get(key);
        }),
      );
    },
  };
}

/** Rejects if there is no answer in time. An answer that has arrived while this process was busy is in time. */
function inTime<T>(answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      // What has arrived by now is read before this runs.
      setImmediate(() => reject(new Error(`Redis did not answer within ${answerWithinMs} ms`)));
    }, answerWithinMs);
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
