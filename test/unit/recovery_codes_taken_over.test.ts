/**
 * The migration of recovery codes to one row for each account, while instances of the release before run: what one of the
 * two uses up or replaces, the other one has lost too. The statements of that release stay as they were.
 */
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import type { Query } from '../../src/storage/run_statement.ts';
import { countRecoveryCodes, replaceRecoveryCodes, useRecoveryCode } from '../../src/totp/store.ts';
import { createDatabase, generousTimeouts } from '../support/databases.ts';

const migrations = new URL('../../migrations', import.meta.url).pathname;
let url: string;
let drop: () => Promise<void>;
let database: Database;

/** The release before. */
const before = {
  use: async (query: Query, id: string, code: Buffer) =>
    (
      await query(
        `update recovery_codes set used_at = now()
         where account_id = $1 and code_hash = $2 and used_at is null returning account_id`,
        [id, code],
      )
    ).length === 1,
  async replace(query: Query, id: string, codes: Buffer[]): Promise<void> {
    await query('delete from recovery_codes where account_id = $1', [id]);
    await query('insert into recovery_codes (account_id, code_hash) select $1, unnest($2::bytea[])', [
      id,
      codes,
    ]);
  },
  /** As it finds out whether it may show the codes again. */
  async hasUnused(query: Query, id: string, codes: Buffer[]): Promise<boolean> {
    const [row] = await query<{ same: boolean }>(
      `select count(*) = cardinality($2::bytea[]) and bool_and(used_at is null and code_hash = any($2)) as same
       from recovery_codes where account_id = $1`,
      [id, codes],
    );
    return row?.same === true;
  },
};

const codesOf = (id: string) => Array.from({ length: 10 }, (_, index) => Buffer.from(`${id} ${index}`));
const code = (id: string, index: number) => codesOf(id)[index] ?? Buffer.alloc(0);
const left = (id: string) => countRecoveryCodes(database.query, id);

/** Runs the migrations up to this number. */
async function migrateTo(number: number): Promise<void> {
  const some = await mkdtemp(join(tmpdir(), 'cypher-migrations-'));
  for (const file of (await readdir(migrations)).sort().slice(0, number))
    await copyFile(join(migrations, file), join(some, file));
  await migrate(url, some);
  await rm(some, { recursive: true });
}

async function addAccount(id: string): Promise<void> {
  await database.query(
    `insert into accounts (id, username, username_key, credential_id, opaque_record, opaque_suite, opaque_stretching,
       opaque_key_id, created_at) values ($1, $1, $1, $1, '', '', '{}', '', now())`,
    [id],
  );
  await database.transaction((query) => before.replace(query, id, codesOf(id)));
}

/** Until a statement waits for a lock. */
const oneWaits = () =>
  expect
    .poll(
      () =>
        database.query(
          `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        ),
      { timeout: 30_000 },
    )
    .toHaveLength(1);

beforeAll(async () => {
  ({ url, drop } = await createDatabase());
  await migrateTo(12);
  database = openDatabase(url, { onIdleError: () => {}, timeouts: generousTimeouts });
  for (const id of ['ada', 'bob', 'cleo', 'dan']) await addAccount(id);
  expect(await before.use(database.query, 'ada', code('ada', 0))).toBe(true);
});
afterAll(async () => {
  await database.close();
  await drop();
});

test('a code that the release before uses or replaces while the migration runs does not come back', async () => {
  await migrateTo(13);
  expect(await before.use(database.query, 'bob', code('bob', 0))).toBe(true);
  const other = [Buffer.from('another'), Buffer.from('and another')];
  let migrated: Promise<void> = Promise.resolve();
  await database.transaction(async (query) => {
    expect(await before.use(query, 'cleo', code('cleo', 0))).toBe(true);
    await before.replace(query, 'dan', other);
    // It waits for this transaction, and does not see what it has written.
    migrated = migrateTo(16);
    await oneWaits();
  });
  await migrated;
  const all = await Promise.all(['ada', 'bob', 'cleo', 'dan'].map(left));
  expect(all).toEqual([9, 9, 9, 2]);
  for (const id of ['ada', 'bob', 'cleo', 'dan'])
    expect(await useRecoveryCode(database.query, id, code(id, 0))).toBe(false);
  expect(await useRecoveryCode(database.query, 'dan', other[0] ?? Buffer.alloc(0))).toBe(true);
});

test('a code that one release has used up is used up at the other one, and the others are not', async () => {
  await addAccount('eve');
  expect(await left('eve')).toBe(10);
  expect(await useRecoveryCode(database.query, 'eve', code('eve', 0))).toBe(true);
  expect(await before.use(database.query, 'eve', code('eve', 0))).toBe(false);
  expect(await before.hasUnused(database.query, 'eve', codesOf('eve'))).toBe(false);
  expect(await before.use(database.query, 'eve', code('eve', 1))).toBe(true);
  expect(await useRecoveryCode(database.query, 'eve', code('eve', 1))).toBe(false);
  expect(await left('eve')).toBe(8);
});

test('of two codes that the release before uses at once, neither comes back', async () => {
  await addAccount('fay');
  let second: Promise<boolean> = Promise.resolve(false);
  await database.transaction(async (query) => {
    expect(await before.use(query, 'fay', code('fay', 0))).toBe(true);
    second = before.use(database.query, 'fay', code('fay', 1));
    await oneWaits();
  });
  expect(await second).toBe(true);
  expect(await left('fay')).toBe(8);
  for (const index of [0, 1])
    expect(await useRecoveryCode(database.query, 'fay', code('fay', index))).toBe(false);
});

test('new codes of either release replace those of the other', async () => {
  await addAccount('gus');
  const newer = codesOf('newer');
  await replaceRecoveryCodes(database.query, 'gus', newer);
  expect(await before.hasUnused(database.query, 'gus', newer)).toBe(true);
  expect(await before.use(database.query, 'gus', code('gus', 0))).toBe(false);
  await database.transaction((query) => before.replace(query, 'gus', codesOf('newest')));
  expect(await useRecoveryCode(database.query, 'gus', code('newer', 0))).toBe(false);
  expect(await useRecoveryCode(database.query, 'gus', code('newest', 0))).toBe(true);
  await database.query("delete from accounts where id = 'gus'");
  expect(await left('gus')).toBe(0);
});
