/** Reads facts about a Redis for the command line. Each call opens connections of its own. */
import type { RedisTarget } from '../lib/redis_target.ts';
import { openRedisCache } from './cache.ts';
import { createRedisClient } from './redis_client.ts';

export interface RedisFacts {
  version: string;
  /** In bytes; 0 means no limit. */
  maxMemory: number;
  evictionPolicy: string;
}

const answerWithinMs = 2000;

/**
 * Reads version, memory limit and eviction policy, of one of the servers if there are several. Uses INFO, because
 * managed services do not allow CONFIG. Rejects with the cause if Redis cannot be written to.
 */
export async function readRedisFacts(target: RedisTarget): Promise<RedisFacts> {
  await tryWrite(target);
  const client = createRedisClient(target, answerWithinMs);
  // Its writes have just succeeded. An error now rejects the command.
  client.on('error', () => {});
  try {
    await new Promise((resolve, reject) => {
      client.once('ready', resolve).once('close', () => reject(new Error('the connection was closed')));
    });
    const info = new Map(
      (await client.info()).split('\r\n').map((line): [string, string] => {
        const [name = '', value = ''] = line.split(':', 2);
        return [name, value];
      }),
    );
    return {
      version: info.get('redis_version') ?? '',
      maxMemory: Number(info.get('maxmemory') ?? 0),
      evictionPolicy: info.get('maxmemory_policy') ?? '',
    };
  } finally {
    client.disconnect();
  }
}

async function tryWrite(target: RedisTarget): Promise<void> {
  let cause: Error | undefined;
  const cache = await openRedisCache(target, { onChange: (_state, error) => (cause = error) });
  await cache.close();
  if (cause) throw cause;
}
