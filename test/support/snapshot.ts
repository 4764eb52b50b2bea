/**
 * Copies the state of a database to another schema in it, and puts it back while servers run, as a restored backup
 * would.
 */
import pg from 'pg';

export interface Snapshot {
  putBack(): Promise<void>;
}

/** The tables, without the partitions of which some consist, and those partitions. */
async function tablesOf(client: pg.Client): Promise<{ whole: string[]; partitions: string[] }> {
  const { rows } = await client.query<{ name: string; partition: boolean }>(
    `select relname as name, relispartition as partition from pg_class
     where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1`,
  );
  const those = (partition: boolean) =>
    rows.filter((row) => row.partition === partition).map(({ name }) => pg.escapeIdentifier(name));
  return { whole: those(false), partitions: those(true) };
}

async function connected<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return work(client).finally(() => client.end());
}

/** The state of all tables as it is now. */
export async function takeSnapshot(url: string, name = 'snapshot'): Promise<Snapshot> {
  await connected(url, async (client) => {
    await client.query(`begin isolation level repeatable read; create schema ${name}`);
    for (const table of (await tablesOf(client)).whole) {
      await client.query(`create table ${name}.${table} as select * from public.${table}`);
    }
    await client.query('commit');
  });
  return { putBack: () => connected(url, (client) => putBack(client, name)) };
}

/** Servers hold locks on the tables meanwhile. PostgreSQL may resolve a deadlock with them by ending this transaction. */
async function putBack(client: pg.Client, name: string): Promise<void> {
  for (;;) {
    try {
      await client.query('begin');
      await replaceAll(client, name);
      await client.query('commit');
      return;
    } catch (error) {
      await client.query('rollback');
      const deadlock = '40P01';
      if ((error as { code?: string }).code !== deadlock) throw error;
    }
  }
}

async function replaceAll(client: pg.Client, name: string): Promise<void> {
  const { whole: tables, partitions } = await tablesOf(client);
  // The audit log refuses to be emptied, and ended sessions would notify apps again.
  const withTriggers = [...tables, ...partitions];
  for (const table of withTriggers) await client.query(`alter table public.${table} disable trigger user`);
  await client.query(`truncate ${tables.map((table) => `public.${table}`).join(', ')}`);
  const waiting = new Set(tables);
  // What others refer to goes first.
  for (const table of [...tables, ...tables]) {
    if (!waiting.has(table)) continue;
    await client.query('savepoint one');
    const done = await client
      .query(`insert into public.${table} overriding system value select * from ${name}.${table}`)
      .then(
        () => true,
        () => false,
      );
    if (done) waiting.delete(table);
    else await client.query('rollback to one');
  }
  if (waiting.size > 0) throw new Error(`not put back: ${[...waiting].join(', ')}`);
  for (const table of withTriggers) await client.query(`alter table public.${table} enable trigger user`);
}

/** Servers have run for so much longer: what they have seen of the history is further on than a failover may lose. */
export const serveFor = (url: string, seconds: number): Promise<void> =>
  connected(url, async (client) => {
    await client.query('update restore_guard set served_ms = served_ms + $1::bigint * 1000', [seconds]);
  });
