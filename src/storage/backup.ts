/**
 * Writes a backup of the database to one file. It does not use pg_dump, because the embedded PostgreSQL ships without
 * it. The backup is taken in one transaction, so it shows the database at one instant. Servers can run meanwhile.
 *
 * The file is gzip over text. Its first line is a header as JSON. The tables follow: each is the rows that COPY gives
 * and then the line `\.`. The last line is JSON with the SHA-256 of everything before it.
 * https://www.postgresql.org/docs/18/sql-copy.html#id-1.9.3.55.9.2
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import type { DatabaseSource } from './connection.ts';
import { connectedTo, inLongTransaction } from './maintenance.ts';
import { migrationsTable } from './migrate.ts';

export const backupFormat = 'cypher backup 1';
/** Ends the rows of a table. No row can look like this line, because COPY escapes backslashes. */
export const endOfRows = '\\.\n';

export interface BackupHeader {
  format: string;
  madeAt: string;
  /** The names of the migrations, in the order in which they were run. They determine the tables and columns. */
  migrations: string[];
  tables: BackedUpTable[];
  sequences: { table: string; column: string; last: string }[];
}

export interface BackedUpTable {
  name: string;
  columns: string[];
  /** The partitions of a partitioned table, with their bounds as PostgreSQL writes them. Otherwise empty. */
  partitions: { name: string; bound: string }[];
}

/** The last line of the file. */
export interface BackupTrailer {
  sha256: string;
}

/**
 * The tables of the schema. A table comes after those that it refers to. Partitions are left out, because the rows of
 * a partitioned table include theirs. Unlogged tables are left out, because PostgreSQL itself would lose them in a
 * crash. So are the rows that an earlier release keeps of refresh tokens, once the rows of families hold all of them.
 */
const tablesQuery = `with recursive kept as (
    select oid, relname from pg_class
    where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p') and not relispartition
      and relpersistence = 'p' and relname <> '${migrationsTable}'
      and not (relname = 'refresh_tokens' and exists (
        select from pg_attribute where attrelid = to_regclass('refresh_families') and attname = 'token_hash'))
  ), refers as (
    select conrelid as source, confrelid as target from pg_constraint
    where contype = 'f' and conrelid <> confrelid and conparentid = 0
  ), depth (oid, level) as (
    select oid, 0 from kept
    union select r.source, d.level + 1 from refers r join depth d on d.oid = r.target where d.level < 50
  )
  select k.relname as name,
    array(select a.attname::text from pg_attribute a
      where a.attrelid = k.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
      order by a.attnum) as columns,
    coalesce((select jsonb_agg(jsonb_build_object('name', c.relname, 'bound', pg_get_expr(c.relpartbound, c.oid))
        order by c.relname)
      from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = k.oid), '[]') as partitions
  from kept k join depth d on d.oid = k.oid group by k.oid, k.relname order by max(d.level), k.relname`;

const sequencesQuery = `select c.relname as table, a.attname as column,
    pg_sequence_last_value(pg_get_serial_sequence(quote_ident(c.relname), a.attname)::regclass)::text as last
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    and c.relname <> '${migrationsTable}' and pg_get_serial_sequence(quote_ident(c.relname), a.attname) is not null`;

/** Names as a list of quoted identifiers for SQL. */
export const quotedList = (names: readonly string[]): string => names.map(pg.escapeIdentifier).join(', ');

/** Reads the header of the file, in the transaction of `client`. */
async function readHeader(client: pg.Client): Promise<BackupHeader> {
  const tables = await client.query<BackedUpTable>(tablesQuery);
  const migrations = await client.query<{ name: string }>(`select name from ${migrationsTable} order by id`);
  const sequences = await client.query<BackupHeader['sequences'][number]>(sequencesQuery);
  return {
    format: backupFormat,
    madeAt: new Date().toISOString(),
    migrations: migrations.rows.map(({ name }) => name),
    tables: tables.rows,
    sequences: sequences.rows.filter(({ last }) => last !== null),
  };
}

async function* contents(client: pg.Client, header: BackupHeader): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  const hashed = (chunk: Buffer) => {
    hash.update(chunk);
    return chunk;
  };
  yield hashed(Buffer.from(`${JSON.stringify(header)}\n`));
  for (const { name, columns } of header.tables) {
    // COPY needs a query here, because it cannot read a partitioned table by its name.
    const rows = client.query(
      copyTo(`copy (select ${quotedList(columns)} from ${pg.escapeIdentifier(name)}) to stdout`),
    );
    for await (const chunk of rows) yield hashed(chunk as Buffer);
    yield hashed(Buffer.from(endOfRows));
  }
  const trailer: BackupTrailer = { sha256: hash.digest('hex') };
  yield Buffer.from(`${JSON.stringify(trailer)}\n`);
}

/**
 * Writes a backup of the database at `source` to the new file `path`, which only this user may read. Returns its header.
 * Rejects if `path` exists already, or if the backup fails. A backup that failed leaves no file.
 */
export async function writeBackup(source: DatabaseSource, path: string): Promise<BackupHeader> {
  return connectedTo(source, 'cypher backup', (client) =>
    inLongTransaction(client, 'isolation level repeatable read read only', async () => {
      await client.query(
        "set local datestyle = 'ISO'; set local timezone = 'UTC'; set local extra_float_digits = 1",
      );
      const header = await readHeader(client);
      // `wx` never overwrites a file. `flush` writes the file to the disk before the backup is reported as done.
      const file = createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true });
      try {
        await pipeline(Readable.from(contents(client, header)), createGzip(), file);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') await unlink(path).catch(() => {});
        throw error;
      }
      return header;
    }),
  );
}
