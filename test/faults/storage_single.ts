/** The storage of most installations: one PostgreSQL, and one Redis whose standby may take over. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Postgres, startPostgres } from './postgres.ts';
import { type RedisPair, startRedisPair } from './redis.ts';
import { aWhile, type FaultKind, type StartStorage } from './storage.ts';

export const startSingle: StartStorage = async (directory) => {
  const [postgres, redis] = await Promise.all([startPostgresIn(directory), startRedisPair(directory)]);
  return {
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    query: postgres.query,
    faults: { ...faultsOfPostgres(postgres), ...faultsOfRedis(redis) },
    async stop() {
      await postgres.stop();
      redis.kill();
    },
  };
};

export async function startPostgresIn(directory: string): Promise<Postgres> {
  const dataDirectory = join(directory, 'data');
  await mkdir(dataDirectory);
  return startPostgres(dataDirectory);
}

export const faultsOfPostgres = (postgres: Postgres): Record<string, FaultKind> => ({
  'kill postgres': {
    weight: 4,
    target: 'postgres',
    async inject(random) {
      postgres.kill();
      await aWhile(random, 0, 1500);
      await postgres.restart();
    },
  },
  'pause postgres': {
    weight: 3,
    target: 'postgres',
    async inject(random) {
      postgres.pause();
      await aWhile(random, 1000, 3000);
      await postgres.resume();
    },
  },
  'cut postgres connections': {
    weight: 3,
    target: 'postgres',
    inject: () => postgres.cutConnections(),
  },
});

const faultsOfRedis = (redis: RedisPair): Record<string, FaultKind> => ({
  'kill redis': {
    weight: 3,
    target: 'redis',
    async inject(random) {
      redis.kill();
      await aWhile(random, 0, 2500);
      await redis.restart({ fromDump: false });
    },
  },
  'pause redis': {
    weight: 3,
    target: 'redis',
    async inject(random) {
      redis.pause();
      await aWhile(random, 1000, 3000);
      await redis.resume();
    },
  },
  'flush redis': { weight: 3, target: 'redis', inject: () => redis.flush() },
  'cut redis connections': { weight: 2, target: 'redis', inject: () => redis.cutConnections() },
  'restore redis from an older dump': {
    weight: 3,
    target: 'redis',
    async inject(random) {
      await redis.save();
      await aWhile(random, 500, 3000);
      redis.kill();
      await aWhile(random, 0, 500);
      await redis.restart({ fromDump: true });
    },
  },
  'fail redis over to a replica that is behind': {
    weight: 2,
    target: 'redis',
    async inject(random) {
      await redis.leaveStandbyBehind();
      await aWhile(random, 500, 3000);
      await redis.failOver();
    },
  },
});
