/**
 * A server whose storage can be slowed down or cut off, and a second one that reaches the same storage undisturbed.
 */
import { timeoutsOfServer } from '../../src/storage/database.ts';
import { createMigratedDatabase, createRedisDatabase } from './databases.ts';
import { machineMs } from './machine_time.ts';
import { startProxy, type TcpProxy } from './proxy.ts';
import { type ServerOptions, startServer, type TestServer } from './server.ts';

export interface BehindProxies {
  server: TestServer;
  other: TestServer;
  postgres: TcpProxy;
  redis: TcpProxy;
  /** The way past the proxies. */
  direct: { databaseUrl: string; redisUrl: string };
  close(): Promise<void>;
}

export async function startBehindProxies(options: ServerOptions = {}): Promise<BehindProxies> {
  const { url, drop } = await createMigratedDatabase();
  const direct = { databaseUrl: url, redisUrl: await createRedisDatabase() };
  const [postgres, redis] = [await startProxy(direct.databaseUrl), await startProxy(direct.redisUrl)];
  const storage = { databaseUrl: postgres.url, redisUrl: redis.url };
  const server = await startServer({ ...options, storage, timeouts: timeoutsOfServer });
  const other = await startServer({
    ...options,
    beside: server,
    storage: direct,
    timeouts: timeoutsOfServer,
  });
  return {
    server,
    other,
    postgres,
    redis,
    direct,
    async close() {
      await Promise.all([postgres.restore(), redis.restore()]);
      await Promise.all([server.close(), other.close()]);
      await Promise.all([postgres.close(), redis.close()]);
      await drop();
    },
  };
}

/** The answer, and that it did not keep anybody waiting: within `milliseconds`, or it throws. */
export async function within<T>(milliseconds: number, sent: PromiseLike<T>): Promise<T> {
  const begun = machineMs();
  const answer = await sent;
  const took = machineMs() - begun;
  if (took > milliseconds) throw new Error(`it took ${took} ms, more than ${milliseconds}`);
  return answer;
}
