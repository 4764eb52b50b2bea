/** Checks Redis. Nothing in it is the only copy, so it need not persist, but it must accept writes. */
import type { RedisTarget } from '../../lib/redis_target.ts';
import { readRedisFacts } from '../../storage/redis_facts.ts';
import type { Finding } from './finding.ts';

/** Rejects with the cause if Redis cannot be written to. */
export async function checkRedis(target: RedisTarget | undefined): Promise<Omit<Finding, 'about'>[]> {
  if (!target) return [{ level: 'ok', found: 'no REDIS_URL: limits by address are counted in PostgreSQL' }];
  const { version, maxMemory, evictionPolicy } = await readRedisFacts(target);
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
  return [
    {
      level: 'ok',
      found: `${kinds[target.kind]}, Redis ${version}, accepts writes; it need not persist, nothing in it is the only copy`,
    },
  ];
}

const kinds = { single: 'single server', sentinel: 'primary by Sentinel', cluster: 'cluster' } as const;
