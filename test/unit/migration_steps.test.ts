/** A migration in steps: each is a transaction of its own, and after an interruption the rest is done. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { createDatabase, generousTimeouts } from '../support/databases.ts';

let url: string;
let drop: () => Promise<void>;
let database: Database;
let directory: string;
beforeAll(async () => {
  ({ url, drop } = await createDatabase());
  database = openDatabase(url, { onIdleError: () => {}, timeouts: generousTimeouts });
  directory = await mkdtemp(join(tmpdir(), 'cypher-migrations-'));
});
afterAll(async () => {
  await database.close();
  await drop();
  await rm(directory, { recursive: true, force: true });
});

const doubled = async () =>
  (await database.query<{ n: number }>('select n from numbers order by id')).map(({ n }) => n);

test('steps that were interrupted are kept, the rest is done at the next start, and nothing is done twice', async () => {
  await writeFile(
    join(directory, '0001_numbers.sql'),
    `-- Up Migration
     create table numbers (id text primary key, n int not null, is_doubled boolean not null default false,
       constraint not_yet check (n <> 6 or not is_doubled));
     insert into numbers (id, n) values ('a', 1), ('b', 2), ('c', 3), ('d', 4), ('e', 5)`,
  );
  await writeFile(
    join(directory, '0002_doubled.sql'),
    `-- Up Migration in steps
     with step as (select id from numbers where id > $1 order by id limit 2),
       changed as (update numbers set n = 2 * n, is_doubled = true
         where id in (select id from step) and not is_doubled)
     select max(id) as next from step`,
  );
  await expect(migrate(url, directory)).rejects.toThrow('not_yet');
  expect(await doubled()).toEqual([2, 4, 3, 4, 5]);
  await database.query('alter table numbers drop constraint not_yet');
  expect(await migrate(url, directory)).toEqual(['0002_doubled']);
  expect(await doubled()).toEqual([2, 4, 6, 8, 10]);
  expect(await migrate(url, directory)).toEqual([]);
});
