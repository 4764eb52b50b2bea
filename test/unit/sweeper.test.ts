/** The sweeper: what has expired goes, what lives stays, and sweepers do not stand in one another's way. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createLog } from '../../src/lib/log.ts';
import { createRecordStore } from '../../src/oidc/library/record_store.ts';
import { createRefreshStore } from '../../src/refresh/store.ts';
import { createSessionStore } from '../../src/sessions/store.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { roomForBegun } from '../../src/storage/ephemeral.ts';
import { spend } from '../../src/storage/spent.ts';
import { createSweeper } from '../../src/storage/sweeper.ts';
import { createMigratedDatabase, generousTimeouts } from '../support/databases.ts';
import { openStores } from '../support/stores.ts';

let stores: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  stores = await openStores();
});
afterAll(() => stores.close());

const sweeper = (room = roomForBegun) =>
  createSweeper(stores.database, createLog('silent'), stores.now, room);
const count = async (table: string): Promise<number> => {
  const [row] = await stores.database.query<{ n: number }>(`select count(*)::int as n from ${table}`);
  return row?.n ?? -1;
};

test('expired rows of every table go, in batches; live ones stay', async () => {
  const { query } = stores.database;
  const at = (seconds: number) => new Date(stores.now() + seconds * 1000);
  for (const table of ['spent', 'revocations']) {
    const id = table === 'spent' ? 'id' : 'subject';
    await query(
      `insert into ${table} (${id}, expires_at) select 'old' || n, $1 from generate_series(1, 1200) n`,
      [at(-1)],
    );
    await query(`insert into ${table} (${id}, expires_at) values ('live', $1)`, [at(60)]);
  }
  await query(`insert into ephemeral (key, value, expires_at) values ('old', '', $1), ('live', '', $2)`, [
    at(-1),
    at(60),
  ]);
  expect(await sweeper().sweep()).toBe(2401);
  for (const table of ['spent', 'revocations', 'ephemeral']) expect(await count(table)).toBe(1);
});

test('of tables in partitions the expired rows go, and no others', async () => {
  const { query } = stores.database;
  await query('alter table spent rename to whole');
  onTestFinished(async () => {
    await query('drop table spent');
    await query('alter table whole rename to spent');
  });
  await query(
    'create table spent (id text primary key, expires_at timestamptz not null) partition by hash (id)',
  );
  for (const part of [0, 1, 2])
    await query(
      `create table spent_${part} partition of spent for values with (modulus 3, remainder ${part})`,
    );
  await query(
    `insert into spent select 'row' || n, $1::timestamptz + case when n % 2 = 0 then interval '1 hour' else '-1 hour' end
     from generate_series(1, 3000) n`,
    [new Date(stores.now())],
  );
  expect(await sweeper().sweep()).toBe(1500);
  expect(await count('spent')).toBe(1500);
});

test('a row that is renewed while it is swept stays', async () => {
  const { database } = stores;
  const at = (seconds: number) => new Date(stores.now() + seconds * 1000);
  await database.query(
    "insert into spent (id, expires_at) select 'old' || n, $1 from generate_series(1, 20) n",
    [at(-1)],
  );
  await database.transaction(async (query) => {
    await query("update spent set expires_at = $1 where id = 'old7'", [at(60)]);
    expect(await sweeper().sweep()).toBe(19);
  });
  await sweeper().sweep();
  expect(await database.query("delete from spent where id like 'old%' returning id")).toEqual([
    { id: 'old7' },
  ]);
});

test('thousands of rows that expire at once are found by the index, although the table was empty before', async () => {
  const { url, drop } = await createMigratedDatabase();
  // One connection: whatever it has kept of a statement is there the next time, and its counts are told together.
  const database = openDatabase(url, { onIdleError: () => {}, timeouts: generousTimeouts, poolSize: 1 });
  onTestFinished(async () => {
    await database.close();
    await drop();
  });
  const { sweep } = createSweeper(database, createLog('silent'), stores.now);
  await database.maintain('vacuum analyze spent');
  // PostgreSQL may keep a plan from the sixth time on.
  for (let time = 0; time < 7; time++) await sweep();
  const rows = 10_000;
  await database.query(
    "insert into spent (id, expires_at) select 'old' || n, $1 from generate_series(1, $2::int) n",
    [new Date(stores.now() - 1000), rows],
  );
  expect(await sweep()).toBe(rows);
  const read = async () => {
    const [counts] = await database.query<{ deleted: number; one_by_one: number }>(
      `select n_tup_del::int as deleted, seq_tup_read::int as one_by_one from pg_stat_user_tables where relname = 'spent'`,
    );
    return counts;
  };
  await expect.poll(read, { timeout: 60_000 }).toMatchObject({ deleted: rows });
  expect((await read())?.one_by_one).toBeLessThan(rows);
});

test('Clock: what was used once is not good again after the clock was set back', async () => {
  const { query } = stores.database;
  expect(await spend(query, 'a proof', stores.now() + 180_000)).toBe(true);
  stores.pass(300);
  await sweeper().sweep();
  stores.pass(-300);
  expect(await spend(query, 'a proof', stores.now() + 180_000)).toBe(false);
  await query("delete from spent where id = 'a proof'");
});

test('a used refresh token stays known while its family lives, and goes with it', async () => {
  const refresh = createRefreshStore(stores.database, {
    successorKey: Buffer.alloc(32, 1),
    leewayMs: 10_000,
    now: stores.now,
    instance: 'here',
  });
  const in60 = stores.now() + 60_000;
  const family = {
    id: 'f',
    grantId: 'g',
    clientId: 'c',
    accountId: 'a',
    sessionUid: undefined,
    offline: true,
  };
  await refresh.begin(
    { ...family, expiresAt: stores.now() + 600_000 },
    { tokenId: 'first', payload: {}, issuedAt: stores.now(), expiresAt: in60 },
  );
  const first = { tokenId: 'first', familyId: 'f', generation: 0, expiresAt: in60 };
  await refresh.rotate(first, { issuedAt: stores.now(), expiresAt: in60 });
  stores.pass(300);
  await sweeper().sweep();
  expect((await refresh.read(first))?.state).toBe('reuse');
  stores.pass(301);
  await sweeper().sweep();
  expect(await refresh.read(first)).toBeUndefined();
  expect(await count('refresh_families')).toBe(0);
});

test('a family goes a week after its end, or after it could last be refreshed, with the grant that nothing else needs', async () => {
  const { database, now } = stores;
  const day = 86_400_000;
  const settings = { successorKey: Buffer.alloc(32, 1), leewayMs: 10_000, now, instance: 'here' };
  const refresh = createRefreshStore(database, settings);
  const records = createRecordStore(database, now);
  const sessions = createSessionStore(stores);
  await sessions.save({ jti: 'an id', uid: 'long session', accountId: 'a' }, 30 * 86_400, {});
  const begin = async (id: string, idleDays: number, sessionUid?: string, grantId = `grant of ${id}`) => {
    await refresh.begin(
      { id, grantId, clientId: 'c', accountId: 'a', sessionUid, offline: true, expiresAt: now() + 30 * day },
      { tokenId: `of ${id}`, payload: {}, issuedAt: now(), expiresAt: now() + idleDays * day },
    );
    await records.save({ model: 'Grant', id: grantId, payload: { grantId }, ttlSeconds: 31 * 86_400 });
  };
  await begin('idle', 7);
  await begin('idle in a session', 7, 'long session');
  await begin('idle beside one in use', 7, undefined, 'grant of in use');
  await begin('in use', 29);
  await begin('ended', 29);
  await database.query("update refresh_families set ended_at = $1 where id = 'ended'", [new Date(now())]);
  const left = async () => {
    await sweeper().sweep();
    const families = await database.query<{ id: string }>('select id from refresh_families order by id');
    const grants = await database.query<{ id: string }>(
      `select payload->>'grantId' as id from records where model = 'Grant' order by 1`,
    );
    return [families, grants].map((rows) => rows.map(({ id }) => id));
  };
  const all = ['ended', 'idle', 'idle beside one in use', 'idle in a session', 'in use'];
  stores.pass(6.9 * 86_400);
  expect((await left())[0]).toEqual(all);
  stores.pass(0.2 * 86_400);
  expect((await left())[0]).toEqual(all.slice(1));
  stores.pass(6.8 * 86_400);
  expect((await left())[0]).toEqual(all.slice(1));
  stores.pass(0.2 * 86_400);
  expect(await left()).toEqual([['in use'], ['grant of idle in a session', 'grant of in use']]);
  stores.pass(20 * 86_400);
  expect(await left()).toEqual([[], []]);
});

test('the thousands of rows that an earlier release keeps of a family go in batches, and their space is used again', async () => {
  const { query } = stores.database;
  const refresh = createRefreshStore(stores.database, {
    successorKey: Buffer.alloc(32, 1),
    leewayMs: 10_000,
    now: stores.now,
    instance: 'here',
  });
  const expiresAt = stores.now() + 60_000;
  const family = {
    grantId: 'g',
    clientId: 'c',
    accountId: 'a',
    sessionUid: undefined,
    offline: true,
    expiresAt,
  };
  const first = { payload: {}, issuedAt: stores.now(), expiresAt };
  await refresh.begin({ ...family, id: 'long' }, { tokenId: 'of long', ...first });
  await refresh.begin(
    { ...family, id: 'lives', expiresAt: expiresAt * 2 },
    { tokenId: 'of lives', ...first },
  );
  await query(
    `create table refresh_tokens (token_hash text primary key,
       family_id text not null references refresh_families on delete cascade)`,
  );
  onTestFinished(async () => void (await query('drop table refresh_tokens')));
  await query('create index on refresh_tokens (family_id)');
  await query("insert into refresh_tokens values ('of lives', 'lives')");
  await query("insert into refresh_tokens select 'hash' || n, 'long' from generate_series(1, 3000) n");
  const size = async () =>
    (await query<{ bytes: string }>("select pg_relation_size('refresh_tokens') as bytes"))[0]?.bytes;
  stores.pass(61);
  expect(await sweeper().sweep()).toBe(3001);
  expect(await count('refresh_tokens')).toBe(1);
  // What is at the end of the file is given back.
  expect(Number(await size())).toBeLessThan(20_000);
});

test('Load and rubbish: of a flood of sign-ins that nobody goes on with the latest are kept, and what else is short-lived', async () => {
  const { query } = stores.database;
  await query('delete from ephemeral');
  const begun = (from: number, to: number) =>
    query(
      `insert into ephemeral (key, value, expires_at, owner)
       select 'Interaction:' || n, '{}', $1::timestamptz + n * interval '1 ms', '198.51.100.1' from generate_series($2::int, $3::int) n`,
      [new Date(stores.now() + 600_000), from, to],
    );
  await query(`insert into ephemeral (key, value, expires_at) values ('ke2:somebody', '', $1)`, [
    new Date(stores.now() + 1000),
  ]);
  for (let from = 1; from <= roomForBegun.rows + 5000; from += 5000) await begun(from, from + 4999);
  await expect.poll(swept).toBe(roomForBegun.rows + 1);
  const [oldest] = await query(`select key from ephemeral where key = 'Interaction:5001'`);
  expect(oldest).toBeDefined();
  await query('delete from ephemeral');
});

/** `rows` interactions of each of `owners`, the oldest `age` seconds old. */
const beginMany = async (owners: string[], rows: number, age: number, value = '{}') => {
  for (let from = 1; from <= rows; from += 5000)
    await stores.database.query(
      `insert into ephemeral (key, value, expires_at, owner)
       select 'Interaction:' || owner || n, $5, $1::timestamptz + n * interval '1 ms', owner
       from generate_series($2::int, $3::int) n, unnest($4::text[]) owner`,
      [new Date(stores.now() + (3600 - age) * 1000), from, Math.min(rows, from + 4999), owners, value],
    );
};
const heldBy = async (owners: string) => {
  const [row] = await stores.database.query<{ n: number }>(
    'select count(*)::int as n from ephemeral where owner like $1',
    [owners],
  );
  return row?.n;
};
const swept = async (room = roomForBegun) => {
  // The sweeper goes by PostgreSQL's statistics. Autovacuum may have counted in the middle of the inserts.
  await stores.database.query('analyze ephemeral');
  await sweeper(room).sweep();
  return count('ephemeral');
};

test('Load: one network that begins a hundred thousand sign-ins evicts none of anybody else’s', async () => {
  const { query } = stores.database;
  await query('delete from ephemeral');
  await beginMany(['198.51.100.1'], 1, 60);
  const offices = Array.from({ length: 1000 }, (_, n) => `10.0.${n >> 8}.${n & 255}`);
  await beginMany(offices, 3, 50);
  await beginMany(['2001:db8:1:0/48'], roomForBegun.rows + 1, 0);
  await expect.poll(swept).toBe(roomForBegun.rows);
  expect([await heldBy('198.51.100.1'), await heldBy('10.0.%')]).toEqual([1, 3000]);
  expect(await query("select from ephemeral where key = 'Interaction:2001:db8:1:0/48100001'")).toHaveLength(
    1,
  );
  await query('delete from ephemeral');
});

test('Load: past the room of all, each network keeps an equal share of it, by number and by size', async () => {
  const { query } = stores.database;
  const room = { rows: 1000, bytes: 1_000_000 };
  await beginMany(['quiet'], 100, 60);
  await beginMany(['first', 'second', 'third'], 600, 50);
  await expect.poll(() => swept(room)).toBe(1000);
  for (const owner of ['quiet', 'first', 'second', 'third'])
    expect([owner, await heldBy(owner)]).toEqual([owner, owner === 'quiet' ? 100 : 300]);
  // Ten times as large: of those, a tenth as many.
  await query("delete from ephemeral where owner <> 'quiet'");
  await beginMany(['large'], 200, 50, randomBytes(5000).toString('hex'));
  await expect.poll(() => swept(room)).toBe(100 + 90);
  expect(await heldBy('quiet')).toBe(100);
  // More networks than there is room for: those that began last are kept.
  await query('delete from ephemeral');
  const many = (kind: string, of: number) => Array.from({ length: of }, (_, n) => `${kind}-${n}`);
  await beginMany(many('early', 600), 1, 60);
  await beginMany(many('late', 900), 1, 50);
  await expect.poll(() => swept(room)).toBe(1000);
  expect(await heldBy('late-%')).toBe(900);
  await query('delete from ephemeral');
});

test('sweepers on several instances share the work', async () => {
  await stores.database.query(
    "insert into spent (id, expires_at) select 'shared' || n, $1 from generate_series(1, 3000) n",
    [new Date(stores.now() - 1000)],
  );
  const swept = await Promise.all([sweeper().sweep(), sweeper().sweep(), sweeper().sweep()]);
  expect(swept.reduce((sum, rows) => sum + rows, 0)).toBeGreaterThanOrEqual(3000);
  expect(await count('spent')).toBe(0);
});
