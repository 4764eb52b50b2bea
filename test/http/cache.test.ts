/** Somebody can write to Redis: they can make the server slower, and become nobody. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { settingsSchema } from '../../src/config/schema.ts';
import { createRotation } from '../../src/keys/rotation.ts';
import { createSealer } from '../../src/lib/crypto.ts';
import { keyKinds, keyPolicies, rotatedTogether } from '../../src/server_keys.ts';
import { openAccount } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { createDatabase, createRedisDatabase } from '../support/databases.ts';
import { createPerson, type Person } from '../support/person.ts';
import { kek, startServer, type TestServer } from '../support/server.ts';

const { intranet } = apps;
let created: Awaited<ReturnType<typeof createDatabase>>;
let server: TestServer;
let redis: Redis;
let ada: Person;
let bob: Person;
beforeAll(async () => {
  created = await createDatabase();
  const redisUrl = await createRedisDatabase();
  const clients = Object.values(apps);
  server = await startServer({ clients, storage: { databaseUrl: created.url, redisUrl } });
  redis = new Redis(redisUrl, { keyPrefix: '' });
  ada = createPerson(server, 'ada');
  bob = createPerson(server, 'bob');
  await Promise.all([ada.tokensFor(intranet), bob.tokensFor(intranet)]);
});
afterAll(async () => {
  redis.disconnect();
  await server.close();
  await created.drop();
});
// What is reported is bounded by the minute.
beforeEach(() => server.clock.advance(60));

const shownTo = async (person: Person): Promise<string | undefined> => {
  const page = await person.agent.get('/account');
  return page.status === 200 ? /<bdi>(\w+)<\/bdi>/.exec(page.text)?.[1] : `status ${page.status}`;
};

/** Where the copy of this person's session lies now, and what it is. */
async function copyOf(person: Person): Promise<{ key: string; value: string }> {
  await redis.flushdb();
  // The first visit in a minute is written down, which makes a new version; the second reads that one.
  await shownTo(person);
  const before = await redis.keys('cypher:session:*');
  await shownTo(person);
  const keys = await redis.keys('cypher:session:*');
  const key = keys.find((each) => !before.includes(each)) ?? keys[0] ?? '';
  return { key, value: (await redis.get(key)) ?? '' };
}

const refusals = async () => {
  await server.audit.flush();
  const { query } = server.database;
  const rows = await query<{ account: string; unreported: number }>(
    `select a.username as account, (detail->>'unreported')::int as unreported
     from audit_log l join accounts a on a.id::text = l.account_id where event = 'copy.refused' order by l.id`,
  );
  const metric = await server.metrics.registry.getSingleMetric('cypher_copies_refused_total')?.get();
  return { rows, counted: metric?.values[0]?.value ?? 0 };
};

test('Cache: a copy altered, forged or moved from another key in Redis is a miss and an audit event, and nobody becomes somebody else', async () => {
  await openAccount(ada);
  await openAccount(bob);
  const [bobs] = await server.database.query<{ payload: object; version: number }>(
    'select payload, version from sessions where account_id = (select id::text from accounts where username = $1)',
    ['bob'],
  );
  const ofBob = await copyOf(bob);
  const { key, value } = await copyOf(ada);
  expect(value).toMatch(/^v4\.local\./);
  const flipped = value.slice(0, 60) + (value[60] === 'A' ? 'B' : 'A') + value.slice(61);
  const forged = JSON.stringify({ version: bobs?.version, payload: bobs?.payload });
  for (const planted of [
    forged,
    JSON.stringify(bobs?.payload),
    ofBob.value,
    flipped,
    '',
    'A'.repeat(300_000),
  ]) {
    const before = await refusals();
    await redis.set(key, planted);
    expect(await shownTo(ada)).toBe('ada');
    const after = await refusals();
    expect([planted.slice(0, 20), after.counted - before.counted]).toEqual([planted.slice(0, 20), 1]);
    expect(after.rows.slice(before.rows.length)).toEqual([{ account: 'ada', unreported: 0 }]);
    // The copy is good again.
    expect(await shownTo(ada)).toBe('ada');
    expect((await refusals()).counted).toBe(after.counted);
  }
  expect(server.logged()).toContain('a copy in Redis is not of our making');
  expect(await shownTo(bob)).toBe('bob');
});

test('Cache: a copy of an earlier version or of an earlier time brings nothing back', async () => {
  const earlier = await copyOf(ada);
  // Signed in anew: what the session was before is not what it is now.
  await ada.tokensFor(intranet, { prompt: 'login' });
  await copyOf(bob);
  const now = await copyOf(ada);
  expect(now.key).not.toBe(earlier.key);
  const before = await refusals();
  await redis.set(earlier.key, earlier.value);
  expect(await shownTo(ada)).toBe('ada');
  expect((await refusals()).counted).toBe(before.counted);
  await redis.set(now.key, earlier.value);
  expect(await shownTo(ada)).toBe('ada');
  expect((await refusals()).counted).toBe(before.counted + 1);

  // PostgreSQL has lost its last write: the number of that version comes again.
  const row =
    'uid = (select uid from sessions where version = $1 and account_id = (select id::text from accounts where username = $2) order by last_seen_at desc limit 1)';
  const version = Number(now.key.split(':').at(-2));
  await server.database.query(
    `update sessions set version = $1, last_seen_at = last_seen_at - interval '1 s', payload = payload || '{"acr": "other"}' where ${row}`,
    [version, 'ada'],
  );
  await redis.set(now.key, now.value);
  expect(await shownTo(ada)).toBe('ada');
  expect((await copyOf(ada)).key).not.toBe(now.key);
});

test('Cache: a key of another type, or an ended session whose copy is put back, is a miss', async () => {
  const { key } = await copyOf(ada);
  await redis.del(key);
  await redis.lpush(key, 'x');
  expect(await shownTo(ada)).toBe('ada');

  const ended = await copyOf(ada);
  await server.database.query(
    "update sessions set ended_at = now() where account_id = (select id::text from accounts where username = 'ada')",
  );
  await redis.set(ended.key, ended.value);
  expect(await shownTo(ada)).toMatch(/status 30\d/);
  await openAccount(ada);
  expect(await shownTo(ada)).toBe('ada');
});

test('Cache: whoever writes to Redis cannot fill the audit log; each refusal is counted', async () => {
  const { key } = await copyOf(ada);
  const before = await refusals();
  for (let times = 0; times < 25; times++) {
    await redis.set(key, `forged ${times}`);
    expect(await shownTo(ada)).toBe('ada');
  }
  const after = await refusals();
  expect(after.counted - before.counted).toBe(25);
  expect(after.rows.length - before.rows.length).toBeLessThanOrEqual(10);
  server.clock.advance(60);
  const again = await copyOf(ada);
  await redis.set(again.key, 'forged');
  expect(await shownTo(ada)).toBe('ada');
  expect((await refusals()).rows.at(-1)).toEqual({ account: 'ada', unreported: 15 });
});

test('Cache: after a rotation of the keys the copies are good, on an instance that starts then too', async () => {
  const rotation = createRotation({
    database: server.database,
    sealer: createSealer(kek),
    kinds: keyKinds,
    policies: keyPolicies(settingsSchema.parse({})),
    inUse: async () => false,
    onChange() {},
    now: server.clock.now,
  });
  for (const kind of rotatedTogether) await rotation.rotate(kind);
  server.clock.advance(60);
  await rotation.run();
  const { key, value } = await copyOf(ada);
  const before = await refusals();
  const later = await startServer({ clients: Object.values(apps), beside: server });
  try {
    const there = createPerson(later, 'ada');
    there.agent.jar = ada.agent.jar;
    expect([await shownTo(ada), await shownTo(there)]).toEqual(['ada', 'ada']);
    expect(await redis.get(key)).toBe(value);
    const metric = await later.metrics.registry.getSingleMetric('cypher_copies_refused_total')?.get();
    expect(metric?.values[0]?.value ?? 0).toBe(0);
    expect((await refusals()).counted).toBe(before.counted);
  } finally {
    await later.close();
  }
});
