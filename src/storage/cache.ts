/**
 * The cache: Redis if it is configured, otherwise the memory of this process. It holds the counts of rate limits and
 * a copy of the restore mark. Without Redis it also holds the short-lived protocol state. All of it may be lost.
 * While Redis cannot be reached, every call answers at once, as if nothing were cached.
 */
import { Redis } from 'ioredis';

export interface Cache {
  get(key: string): Promise<string | undefined>;
  /**
   * Keeps `value` for `ttlSeconds`. Returns false if it could not be kept. `owner` is whose share of a bounded cache
   * the entry counts for. A change without an `owner` keeps the entry's owner. Redis ignores it.
   */
  set(key: string, value: string, ttlSeconds: number, owner?: string): Promise<boolean>;
  /** Gets and deletes in one atomic step: of any number of parallel callers one receives the value. */
  take(key: string): Promise<string | undefined>;
  /** Drops what is kept in the memory of this process. What Redis holds stays. */
  clear(): void;
  /** `degraded` while Redis is configured but cannot be reached. */
  state(): 'ok' | 'degraded';
  /** The connection, for rate limits. Send its commands through `attempt`. Undefined for the in-process cache. */
  readonly redis: Redis | undefined;
  /**
   * Runs `command` and returns its answer. While Redis cannot be reached, and if the command fails, returns what
   * `otherwise` returns. A command that fails makes the cache `degraded` for all callers.
   */
  attempt<T>(command: () => Promise<T>, otherwise: () => T | Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** The prefix of all keys in Redis. */
export const redisPrefix = 'cypher:';
const commandTimeoutMs = 250;
const probeEveryMs = 500;

/**
 * A cache on Redis behind a circuit breaker. The first command that fails opens it. From then on no request waits for
 * Redis, until a probe in the background succeeds. `onChange` is called when the state changes, `observe` with the
 * duration of each command in seconds.
 */
export function createRedisCache(
  url: string,
  onChange: (state: 'ok' | 'degraded', error?: Error) => void,
  observe: (seconds: number, ok: boolean) => void = () => {},
): Cache {
  const redis = new Redis(url, {
    keyPrefix: redisPrefix,
    commandTimeout: commandTimeoutMs,
    connectTimeout: 1000,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    retryStrategy: (attempt) => Math.min(attempt * 100, probeEveryMs),
  });
  let state: 'ok' | 'degraded' = 'ok';
  let probe: NodeJS.Timeout | undefined;
  // Without a listener, an `error` event would end the process.
  redis.on('error', (error: Error) => degrade(error));
  redis.on('close', () => degrade(new Error('the connection was closed')));

  function degrade(error: Error): void {
    if (state === 'degraded' || closing) return;
    state = 'degraded';
    onChange(state, error);
    probe = setInterval(() => {
      redis.ping().then(heal, () => {});
    }, probeEveryMs);
    probe.unref();
  }
  function heal(): void {
    clearInterval(probe);
    if (state === 'ok') return;
    state = 'ok';
    onChange(state);
  }
  let closing = false;

  async function attempt<T>(command: () => Promise<T>, otherwise: () => T | Promise<T>): Promise<T> {
    if (state === 'degraded') return otherwise();
    const started = performance.now();
    try {
      const answer = await command();
      observe((performance.now() - started) / 1000, true);
      return answer;
    } catch (error) {
      observe((performance.now() - started) / 1000, false);
      degrade(error as Error);
    }
    return otherwise();
  }

  return {
    redis,
    attempt,
    state: () => state,
    get: async (key) => (await attempt(() => redis.get(key).catch(foreign), nothing)) ?? undefined,
    set: async (key, value, ttlSeconds) =>
      (await attempt<string | null>(
        () => redis.set(key, value, 'EX', Math.max(1, Math.ceil(ttlSeconds))),
        nothing,
      )) === 'OK',
    take: async (key) => (await attempt(() => redis.getdel(key), nothing)) ?? undefined,
    clear() {},
    async close() {
      closing = true;
      clearInterval(probe);
      redis.disconnect();
    },
  };
}

const nothing = () => null;

/** A key of a type that we never write. Somebody else wrote it, so it is not an outage. */
function foreign(error: Error): string {
  if (error.message.startsWith('WRONGTYPE')) return '';
  throw error;
}
