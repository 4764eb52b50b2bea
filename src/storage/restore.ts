/**
 * Restores a backup into a database. It creates the schema of the time of the backup, loads the rows, and then runs
 * the migrations that are newer. All of this is one transaction: a backup that is damaged or does not fit changes
 * nothing.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { type BackedUpTable, type BackupHeader, quotedList } from './backup.ts';
import type { BackupReader } from './backup_reader.ts';
import type { DatabaseSource } from './connection.ts';
import type { Query } from './database.ts';
import { connectedTo, inLongTransaction, plainQuery } from './maintenance.ts';
import { createMigrationsTable, namesOf, runMigration } from './migrate.ts';

export interface RestoreOptions<T> {
  /** The directory with the migrations of this version. */
  migrations: string;
  /** Whether everything in the database is deleted first. Otherwise the database must be empty. */
  replace: boolean;
  /** Called after the rows are loaded, in the same transaction. */
  finish(query: Query): Promise<T>;
}

/** The bound of a partition, as PostgreSQL writes it. Nothing else from the file is run as SQL. */
const partitionBound = /^(DEFAULT|FOR VALUES FROM \('[^'\\]*'\) TO \('[^'\\]*'\))$/;

/**
 * Restores `backup` into the database at `source`, and returns what `finish` returns. Rejects and changes nothing if the
 * database is not empty and `replace` is false, if the backup is damaged, or if a newer version made it.
 */
export async function restoreBackup<T>(
  source: DatabaseSource,
  backup: BackupReader,
  options: RestoreOptions<T>,
): Promise<T> {
  return connectedTo(source, 'cypher restore', (client) =>
    inLongTransaction(client, '', async () => {
      // Statements of running servers end within a second. A lock that is held for 30 s makes the restore fail.
      await client.query(
        "set local lock_timeout = '30s'; set local datestyle = 'ISO'; set local timezone = 'UTC'",
      );
      await makeEmpty(client, options.replace);
      await load(client, backup, options.migrations);
      return options.finish(plainQuery(client));
    }),
  );
}

async function makeEmpty(client: pg.Client, replace: boolean): Promise<void> {
  const { rows: tables } = await client.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = current_schema()::regnamespace
       and relkind in ('r', 'p') and not relispartition`,
  );
  if (tables.length === 0) return;
  if (!replace)
    throw new Error(
      'the database is not empty: to erase everything in it and put the backup there, say --replace',
    );
  await client.query(`drop table ${quotedList(tables.map(({ name }) => name))} cascade`);
  const { rows: functions } = await client.query<{ name: string }>(
    `select oid::regprocedure::text as name from pg_proc p where pronamespace = current_schema()::regnamespace
       and not exists (select from pg_depend where objid = p.oid and deptype = 'e')`,
  );
  for (const { name } of functions) await client.query(`drop routine ${name} cascade`);
}

async function load(client: pg.Client, backup: BackupReader, migrations: string): Promise<void> {
  const { header } = backup;
  const known = await namesOf(migrations);
  const newer = header.migrations.filter((name) => !known.includes(name));
  if (newer.length > 0)
    throw new Error(
      `the backup was made by a newer version, which has migrated ${newer.join(', ')}: restore it with that one`,
    );
  await createMigrationsTable(client);
  const run = (name: string) => runMigration(client, migrations, name);
  for (const name of header.migrations) await run(name);
  const { rows: present } = await client.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')`,
  );
  const ours = new Set(present.map(({ name }) => name));
  for (const table of header.tables) {
    if (ours.has(table.name)) await loadTable(client, table, backup.rows());
    else for await (const _ of backup.rows()); // Skipped: no migration of ours creates this table.
  }
  await backup.finish();
  for (const sequence of header.sequences) if (ours.has(sequence.table)) await advance(client, sequence);
  // The newer migrations run after the rows are loaded, as they do when a server is upgraded.
  for (const name of known) if (!header.migrations.includes(name)) await run(name);
}

async function loadTable(
  client: pg.Client,
  { name, columns, partitions }: BackedUpTable,
  rows: AsyncGenerator<Buffer>,
): Promise<void> {
  const table = pg.escapeIdentifier(name);
  for (const { name: partition, bound } of partitions) {
    if (!partitionBound.test(bound))
      throw new Error(`the backup has a partition of ${name} that is not understood`);
    await client.query(
      `create table if not exists ${pg.escapeIdentifier(partition)} partition of ${table} ${bound}`,
    );
  }
  // The rows that a migration inserts are in the backup too, so they are deleted first.
  const { rows: present } = await client.query(`select from ${table} limit 1`);
  if (present.length > 0) await client.query(`delete from ${table}`);
  const copy = client.query(copyFrom(`copy ${table} (${quotedList(columns)}) from stdin`));
  await pipeline(Readable.from(rows), copy);
}

/** Advances a sequence to where it was, so that no id is used twice, not even the id of a deleted row. */
async function advance(
  client: pg.Client,
  { table, column, last }: BackupHeader['sequences'][number],
): Promise<void> {
  await client.query('select setval(pg_get_serial_sequence($1, $2), $3::bigint)', [
    pg.escapeIdentifier(table),
    column,
    last,
  ]);
}
