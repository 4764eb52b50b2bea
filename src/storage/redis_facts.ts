/** What a Redis says of itself, for `npx cypher doctor`. */
import { Redis } from 'ioredis';

export interface RedisFacts {
  version: string;
  /** Bytes; 0 is no limit. */
  maxMemory: number;
  evictionPolicy: string;
}

/** Rejects within two seconds where it cannot be asked. By INFO, which managed services allow, unlike CONFIG. */
export async function readRedisFacts(url: string): Promise<RedisFacts> {
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
  } catch (error) {
    throw failed ?? error;
  } finally {
    redis.disconnect();
  }
}
