/**
 * A backup of the database in one file, without PostgreSQL's own programs: for the embedded PostgreSQL, which ships none, as
 * for any other. It is taken in one transaction, so it shows one instant, and servers go on meanwhile.
 *
 * The file is gzip over text. Its first line is a header as JSON. Then come the tables, each as the rows that COPY gives,
 * with the line `\.` after them. The last line is JSON with the SHA-256 of all before it.
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
import { inLongTransaction } from './maintenance.ts';
import { migrationsTable } from './migrate.ts';

export const backupFormat = 'cypher backup 1';
/** After the rows of a table. No row is this line: COPY escapes backslashes. */
export const endOfRows = '\\.\n';

export interface BackupHeader {
  format: string;
  madeAt: string;
  /** By name, in the order in which they were run: which tables and columns there are. */
  migrations: string[];
  tables: BackedUpTable[];
  sequences: { table: string; column: string; last: string }[];
}

export interface BackedUpTable {
  name: string;
  columns: string[];
  /** Of a partitioned table: its partitions, with their bounds as PostgreSQL writes them. */
  partitions: { name: string; bound: string }[];
}

/** The last line of the file. */
export interface BackupTrailer {
  sha256: string;
}

/**
 * The tables of the schema, those first that others refer to; not the partitions of one, which it includes, and not what
 * PostgreSQL itself would lose in a crash.
 */
const tablesQuery = `with recursive kept as (
    select oid, relname from pg_class
    where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p') and not relispartition
      and relpersistence = 'p' and relname <> '${migrationsTable}'
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

export const quotedList = (names: readonly string[]): string => names.map(pg.escapeIdentifier).join(', ');

/** Reads what the file will hold, in the transaction of `client`. */
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
    // As a query: a partitioned table itself cannot be copied from.
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
 * Writes a backup of the database at `url` to `path`, for this user alone to read. Rejects, and leaves no file, where `path`
 * is there already or the backup does not come to its end.
 */
export async function writeBackup(url: string, path: string): Promise<BackupHeader> {
  const client = new pg.Client({ connectionString: url, application_name: 'cypher backup' });
  client.on('error', () => {});
  await client.connect();
  try {
    return await inLongTransaction(client, 'isolation level repeatable read read only', async () => {
      await client.query(
        "set local datestyle = 'ISO'; set local timezone = 'UTC'; set local extra_float_digits = 1",
      );
      const header = await readHeader(client);
      // Exclusive, and on the disk before it is said to be there.
      const file = createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true });
      try {
        await pipeline(Readable.from(contents(client, header)), createGzip(), file);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') await unlink(path).catch(() => {});
        throw error;
      }
      return header;
    });
  } finally {
    await client.end();
  }
}
