/** The sweeper: what has expired goes, what lives stays, and sweepers do not stand in one another's way. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../src/lib/log.ts';
import { createRefreshStore } from '../../src/refresh/store.ts';
import { interactionKeys, mostInteractions } from '../../src/storage/ephemeral.ts';
import { spend } from '../../src/storage/spent.ts';
import { createSweeper } from '../../src/storage/sweeper.ts';
import { openStores } from '../support/stores.ts';

let stores: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  stores = await openStores();
});
afterAll(() => stores.close());

const sweeper = () => createSweeper(stores.database, createLog('silent'), stores.now);
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
  await refresh.begin({ ...family, expiresAt: stores.now() + 600_000 }, 'first', {}, in60);
  await refresh.rotate('first', {}, in60);
  stores.pass(300);
  await sweeper().sweep();
  expect((await refresh.read('first'))?.state).toBe('reuse');
  stores.pass(301);
  await sweeper().sweep();
  expect(await refresh.read('first')).toBeUndefined();
  expect(await count('refresh_tokens')).toBe(0);
});

test('a family of thousands of tokens goes in batches, and its space is used again', async () => {
  const { query } = stores.database;
  const refresh = createRefreshStore(stores.database, {
    successorKey: Buffer.alloc(32, 1),
    leewayMs: 10_000,
    now: stores.now,
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
  await refresh.begin({ ...family, id: 'long' }, 'of long', {}, expiresAt);
  await refresh.begin({ ...family, id: 'lives', expiresAt: expiresAt * 2 }, 'of lives', {}, expiresAt);
  await query(
    `insert into refresh_tokens (token_hash, family_id, payload, created_at, expires_at)
     select 'hash' || n, 'long', '{}', $1, $1 from generate_series(1, 3000) n`,
    [new Date(expiresAt)],
  );
  const size = async () =>
    (await query<{ bytes: string }>("select pg_relation_size('refresh_tokens') as bytes"))[0]?.bytes;
  stores.pass(61);
  expect(await sweeper().sweep()).toBe(3002);
  expect(await count('refresh_tokens')).toBe(1);
  // What is at the end of the file is given back.
  expect(Number(await size())).toBeLessThan(20_000);
});

test('Load and rubbish: of a flood of sign-ins that nobody goes on with the latest are kept, and what else is short-lived', async () => {
  const { query } = stores.database;
  await query('delete from ephemeral');
  const begun = (from: number, to: number) =>
    query(
      `insert into ephemeral (key, value, expires_at)
       select '${interactionKeys}' || n, '{}', $1::timestamptz + n * interval '1 ms' from generate_series($2::int, $3::int) n`,
      [new Date(stores.now() + 600_000), from, to],
    );
  await query(`insert into ephemeral (key, value, expires_at) values ('ke2:somebody', '', $1)`, [
    new Date(stores.now() + 1000),
  ]);
  for (let from = 1; from <= mostInteractions + 5000; from += 5000) await begun(from, from + 4999);
  const kept = async () => {
    await sweeper().sweep();
    return count('ephemeral');
  };
  await expect.poll(kept).toBe(mostInteractions + 1);
  const [oldest] = await query(`select key from ephemeral where key = '${interactionKeys}5001'`);
  expect(oldest).toBeDefined();
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
