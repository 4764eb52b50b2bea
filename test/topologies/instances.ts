/** Two instances of the real server behind a load balancer, and the people and strangers who come to them. */
import { isDeepStrictEqual } from 'node:util';
import request from 'supertest';
import { apps } from '../support/apps.ts';
import { startBalancer } from '../support/balancer.ts';
import { createMigratedDatabase } from '../support/databases.ts';
import { createPerson } from '../support/person.ts';
import { type ServerOptions, startServer, type TestServer } from '../support/server.ts';

export interface Instances {
  both: [TestServer, TestServer];
  /** Somebody signs up and signs in at an app, each request at the other instance. Rejects if any of it fails. */
  signIn(name: string): Promise<void>;
  /** One attempt of the address, at one of the instances; resolves to the status. Refused is 429. */
  attempt(address: string, on: TestServer): Promise<number>;
  /**
   * The result of `count` during which Redis answered every command. It is repeated where one took too long, because
   * the machine is busy: then one instance counts in Redis and the other in PostgreSQL.
   */
  undisturbed<T>(count: (time: number) => Promise<T>): Promise<T>;
  /** What the instances say of their cache: `ok`, `degraded` or `none`. */
  caches(): Promise<string[]>;
  close(): Promise<void>;
}

/** `limit`: how many attempts a minute one address has. `redisUrl`: undefined for none. */
export async function startInstances(
  limit: number,
  redisUrl: string | undefined,
  settings: Record<string, string> = {},
): Promise<Instances> {
  const database = await createMigratedDatabase();
  const balancer = await startBalancer();
  const options: ServerOptions = {
    clients: Object.values(apps),
    issuer: balancer.url,
    settings: { LIMIT_ADDRESS_PER_MINUTE: String(limit), TRUSTED_PROXIES: '127.0.0.1', ...settings },
    storage: { databaseUrl: database.url, redisUrl: redisUrl ?? 'redis://127.0.0.1:1' },
    withoutRedis: redisUrl === undefined,
  };
  const first = await startServer(options);
  const both: [TestServer, TestServer] = [first, await startServer({ ...options, beside: first })];
  balancer.to(...both.map(({ url }) => url));
  const failedCommands = async () => {
    const texts = await Promise.all(both.map(({ metrics }) => metrics.registry.metrics()));
    return texts.map(
      (text) => /^cypher_storage_seconds_count{store="redis",outcome="error"} (\d+)/m.exec(text)?.[1],
    );
  };
  // Nobody turns the clock that the others have too.
  const clock = { now: Date.now, advance() {} };
  let people = 0;
  return {
    both,
    async signIn(name) {
      const person = createPerson({ url: balancer.url, clock }, name);
      people += 1;
      person.agent.set('X-Forwarded-For', `198.51.${Math.floor(people / 250)}.${people % 250}`);
      await person.tokensFor(apps.web);
    },
    async attempt(address, on) {
      const answer = await request(on.url)
        .post('/device')
        .set('X-Forwarded-For', address)
        .type('form')
        .send({ user_code: 'x' });
      return answer.status;
    },
    async undisturbed(count) {
      for (let time = 0; ; time++) {
        const before = await failedCommands();
        const result = await count(time);
        if (isDeepStrictEqual(await failedCommands(), before)) return result;
      }
    },
    caches: () =>
      Promise.all(both.map(async ({ url }) => (await request(url).get('/health/ready')).body.cache)),
    async close() {
      await balancer.close();
      for (const server of [...both].reverse()) await server.close();
      await database.drop();
    },
  };
}

/** How many of so many attempts of an address at once, over both instances, are let through. */
export async function passedOf(
  { attempt, both }: Instances,
  address: string,
  times: number,
): Promise<number> {
  const sent = Array.from({ length: times }, (_, n) => attempt(address, both[n % 2] as TestServer));
  return (await Promise.all(sent)).filter((status) => status !== 429).length;
}
