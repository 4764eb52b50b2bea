/**
 * The cache: Redis if it is configured, otherwise this process. It holds the counts of rate limits and a restore mark; in one
 * process also short-lived protocol state. Nothing in it must survive. While Redis is away every call answers at once, as if
 * nothing were cached.
 */
import { Redis } from 'ioredis';

export interface Cache {
  get(key: string): Promise<string | undefined>;
  /**
   * Keeps `value` for `ttlSeconds`. False where it could not be kept. `owner`: on whose behalf, where room is shared out; who
   * changes a value without naming one leaves it with whom it was.
   */
  set(key: string, value: string, ttlSeconds: number, owner?: string): Promise<boolean>;
  /** Gets and deletes in one atomic step: of any number of parallel callers one receives the value. */
  take(key: string): Promise<string | undefined>;
  /** Drops what is kept in this process. What Redis holds is checked against PostgreSQL, and stays. */
  clear(): void;
  /** `degraded` while Redis is configured but cannot be reached. */
  state(): 'ok' | 'degraded';
  /** The connection, for rate limits, whose commands go through `attempt`. Undefined for the in-process cache. */
  readonly redis: Redis | undefined;
  /** What `command` answers; `otherwise` while Redis is away, and where the command fails, which is then known to all. */
  attempt<T>(command: () => Promise<T>, otherwise: () => T | Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Of all keys in Redis. */
export const redisPrefix = 'cypher:';
const commandTimeoutMs = 250;
const probeEveryMs = 500;

/**
 * A cache on Redis behind a circuit breaker: the first command that fails opens it, from then on no request waits
 * for Redis, and a probe in the background closes it again.
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
  // A connection that comes up or goes down says so by itself; without a listener `error` would end the process.
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

/** Redis is there, and holds something of a type that is never set here: a value that is none of ours, not an outage. */
function foreign(error: Error): string {
  if (error.message.startsWith('WRONGTYPE')) return '';
  throw error;
}
