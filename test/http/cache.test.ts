/** Somebody can write to Redis: they reach nobody's session. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAccount } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { intranet } = apps;
let created: Awaited<ReturnType<typeof createDatabase>>;
let server: TestServer;
let redis: Redis;
let ada: Person;
beforeAll(async () => {
  created = await createDatabase();
  const redisUrl = await createRedisDatabase();
  const clients = Object.values(apps);
  server = await startServer({ clients, storage: { databaseUrl: created.url, redisUrl } });
  redis = new Redis(redisUrl, { keyPrefix: '' });
  ada = createPerson(server, 'ada');
  await ada.tokensFor(intranet);
});
afterAll(async () => {
  redis.disconnect();
  await server.close();
  await created.drop();
});

const shownTo = async (person: Person): Promise<string | undefined> => {
  const page = await person.agent.get('/account');
  return page.status === 200 ? /<bdi>(\w+)<\/bdi>/.exec(page.text)?.[1] : `status ${page.status}`;
};

test('Cache: whatever stands in Redis, or is taken from it, a session is what PostgreSQL has', async () => {
  await openAccount(ada);
  const keys = await redis.keys('*');
  expect(keys).not.toEqual([]);
  for (const key of keys) {
    await redis.del(key);
    await redis.lpush(key, 'x');
  }
  expect(await shownTo(ada)).toBe('ada');
  await redis.flushdb();
  expect(await shownTo(ada)).toBe('ada');
  const ended = await server.database.query(
    "update sessions set ended_at = now() where account_id = (select id::text from accounts where username = 'ada') returning 1",
  );
  expect(ended).not.toEqual([]);
  expect(await shownTo(ada)).toMatch(/status 30\d/);
});
