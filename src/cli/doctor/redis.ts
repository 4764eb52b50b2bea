/** Checks Redis. Nothing in it is the only copy, so it need not persist, but it must accept writes. */
import { readRedisFacts } from '../../storage/redis_facts.ts';
import type { Finding } from './finding.ts';

/** Rejects if Redis cannot be reached. */
export async function checkRedis(url: string | undefined): Promise<Omit<Finding, 'about'>[]> {
  if (url === undefined) {
    return [
      {
        level: 'warning',
        found: 'no REDIS_URL: the cache is in the process',
        change: 'set REDIS_URL before a second process is started',
      },
    ];
  }
  const { version, maxMemory, evictionPolicy } = await readRedisFacts(url);
  const major = Number.parseInt(version, 10);
  if (!(major >= 6)) return [{ level: 'fault', found: `Redis ${version}`, change: 'take Redis 6 or later' }];
  if (maxMemory > 0 && evictionPolicy === 'noeviction') {
    return [
      {
        level: 'warning',
        found: `Redis ${version}: maxmemory with noeviction, so it refuses everything once it is full`,
        change: 'set maxmemory-policy to allkeys-lru: nothing in it is the only copy',
      },
    ];
  }
  return [{ level: 'ok', found: `Redis ${version}; it need not persist, nothing in it is the only copy` }];
}
