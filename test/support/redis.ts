import { Redis } from 'ioredis';
import { inject } from 'vitest';

/**
 * The seconds that `key` has left in whichever database of the run's Redis holds it; undefined where none does. Redis
 * counts by its own clock, which a test cannot turn: `expire` makes the time be over.
 */
export async function redisTtl(key: string, expire?: 'and expire it now'): Promise<number | undefined> {
  const client = new Redis(inject('redisUrl'));
  try {
    const [, databases] = (await client.config('GET', 'databases')) as [string, string];
    for (let number = 0; number < Number(databases); number++) {
      await client.select(number);
      const milliseconds = await client.pttl(key);
      if (milliseconds === -2) continue;
      if (expire) await client.pexpire(key, 0);
      return milliseconds / 1000;
    }
    return undefined;
  } finally {
    client.disconnect();
  }
}
