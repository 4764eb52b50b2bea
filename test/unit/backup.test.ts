/** What a backup has to bring back, on tables made for it: partitions, identities, references, awkward rows, later migrations. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { writeBackup } from '../../src/storage/backup.ts';
import { openBackup } from '../../src/storage/backup_reader.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { restoreBackup } from '../../src/storage/restore.ts';
import { createDatabase, generousTimeouts } from '../support/databases.ts';

let directory: string;
let migrations: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cypher-backup-'));
  migrations = await mkdtemp(join(directory, 'migrations-'));
  await writeFile(
    join(migrations, '0001_first.sql'),
    `-- Up Migration
     create table child (id integer primary key, parent text not null);
     create table a_parent (name text primary key, payload bytea);
     alter table child add foreign key (parent) references a_parent;
     create table log (id bigint generated always as identity, at timestamptz not null, note text, size integer
       generated always as (length(note)) stored) partition by range (at);
     create table log_2026_01 partition of log for values from ('2026-01-01') to ('2026-02-01');
     create function refuse() returns trigger language plpgsql as $$ begin raise exception 'append-only'; end $$;
     create trigger log_is_append_only before update or delete on log for each statement execute function refuse();
     create table one_row (id integer primary key, at timestamptz);
     insert into one_row values (1, now());
     create unlogged table passing (id integer)`,
  );
});
afterAll(() => rm(directory, { recursive: true }));

async function databaseAt(prepare: boolean) {
  const { url, drop } = await createDatabase();
  if (prepare) await migrate(url, migrations);
  const database = openDatabase(url, { onIdleError: () => {}, timeouts: generousTimeouts });
  onTestFinished(async () => {
    await database.close();
    await drop();
  });
  return { url, ...database };
}

test('a backup brings back every row as it was, also where a later version has migrated since', async () => {
  const source = await databaseAt(true);
  await source.query(
    "create table log_2026_02 partition of log for values from ('2026-02-01 00:00:00+00') to ('2026-03-01 00:00:00+00')",
  );
  await source.query('create table of_somebody_else (id integer)');
  await source.query('insert into of_somebody_else values (1)');
  // Rows that are longer than what is read of the file at once, and one that looks like the end of all rows.
  await source.query(
    "insert into a_parent select 'parent ' || n, decode(repeat(md5(n::text), 20000), 'hex') from generate_series(1, 20) n",
  );
  await source.query("insert into child select n, 'parent ' || n from generate_series(1, 20) n");
  for (const note of ['\\.', 'a\tb\nc\\d\r', '', '\\N'])
    await source.query(
      "insert into log (at, note) values ('2026-01-15', $1), ('2026-02-15', $1), ('2026-02-16', null)",
      [note],
    );
  await source.query('insert into passing values (1)');
  await source.query("update one_row set at = '2026-01-01'");
  const path = join(directory, 'backup');
  await writeBackup(source.url, path);
  const contents = async ({ query }: Pick<typeof source, 'query'>) => [
    await query('select name, md5(payload) from a_parent order by 1'),
    await query('select * from child order by 1'),
    await query('select id, at, note, size, tableoid::regclass::text as partition from log order by id'),
    await query('select id, at from one_row'),
  ];

  await writeFile(
    join(migrations, '0002_second.sql'),
    '-- Up Migration\nalter table child add column doubled integer; update child set doubled = 2 * id',
  );
  const target = await databaseAt(false);
  const backup = await openBackup(path);
  const finished = await restoreBackup(target.url, backup, {
    migrations,
    replace: false,
    finish: async (query) => (await query('select from child where doubled = 2 * id')).length,
  });
  backup.close();
  expect(finished).toBe(20);
  await target.query('alter table child drop column doubled');
  expect(await contents(target)).toEqual(await contents(source));
  expect(await target.query('select from passing')).toEqual([]);
  await expect(target.query('delete from log')).rejects.toThrow('append-only');
  const next = "insert into log (at, note) values ('2026-02-20', 'next') returning id";
  expect(await target.query(next)).toEqual([{ id: '13' }]);
  // What has been restored is what a server of that version finds there.
  expect(await migrate(target.url, migrations)).toEqual([]);
});

test('what fails at the end leaves the database as it was', async () => {
  const source = await databaseAt(true);
  const path = join(directory, 'failing');
  await writeBackup(source.url, path);
  await source.query("insert into a_parent values ('since then', null)");
  const backup = await openBackup(path);
  await expect(
    restoreBackup(source.url, backup, {
      migrations,
      replace: true,
      finish: () => Promise.reject(new Error('no')),
    }),
  ).rejects.toThrow('no');
  backup.close();
  expect(await source.query('select name from a_parent')).toEqual([{ name: 'since then' }]);
});
