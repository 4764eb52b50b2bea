/** One PostgreSQL behind a PgBouncer in transaction mode, and one Redis. */
import { startPgBouncer } from '../support/pgbouncer.ts';
import { startRedisPair } from './redis.ts';
import { aWhile, type FaultKind, type StartStorage } from './storage.ts';
import { faultsOfPostgres, startPostgresIn } from './storage_single.ts';

export const startBehindPgBouncer: StartStorage = async (directory) => {
  const [postgres, redis] = await Promise.all([startPostgresIn(directory), startRedisPair(directory)]);
  // As docs/operate/high-availability.md has it.
  const bouncer = await startPgBouncer(postgres.url, { default_pool_size: '20', server_login_retry: '1' });
  const faults: Record<string, FaultKind> = {
    'restart pgbouncer': {
      weight: 4,
      target: 'postgres',
      async inject(random) {
        bouncer.signal('SIGKILL');
        await aWhile(random, 0, 1500);
        await bouncer.restart();
      },
    },
    'pause pgbouncer': {
      weight: 3,
      target: 'postgres',
      async inject(random) {
        bouncer.signal('SIGSTOP');
        await aWhile(random, 1000, 3000);
        bouncer.signal('SIGCONT');
      },
    },
  };
  return {
    databaseUrl: bouncer.url,
    redisUrl: redis.url,
    query: postgres.query,
    faults: { ...faults, ...faultsOfPostgres(postgres) },
    async stop() {
      await bouncer.stop();
      await postgres.stop();
      redis.kill();
    },
  };
};
