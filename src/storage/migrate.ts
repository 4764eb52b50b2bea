/**
 * Runs the migrations of the database, forward only. Each file of migrations/ is one transaction. One that would hold
 * locks for too long is written in steps, which are transactions of their own.
 */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { DatabaseSource } from './connection.ts';
import { connectedTo, inLongTransaction } from './maintenance.ts';

/** The table with the names of the migrations that have run. It is in the schema of the other tables. */
export const migrationsTable = 'migrations';

/**
 * The number is the one that the release before takes, so that the two do not migrate at once. This lock belongs to the
 * transaction, so a pooler cannot hand it on.
 */
const lock = 'select pg_advisory_xact_lock(7241865325823964)';

/** The user of DATABASE_URL may not make tables. */
export class MigrationsMissing extends Error {
  override readonly name = 'MigrationsMissing';
  constructor(missing: string[], cause: Error) {
    super(
      `migrations have not run: ${missing.join(', ')}, and the user of DATABASE_URL may not run them (${cause.message}): run \`npx cypher migrate\` as the owner of the tables`,
      { cause },
    );
  }
}

/**
 * Runs the migrations of the directory `dir` that have not run yet, and returns their names. Instances that start
 * concurrently wait for one another, and each migration is run by one of them. Throws MigrationsMissing.
 */
export async function migrate(source: DatabaseSource, dir: string): Promise<string[]> {
  const names = await namesOf(dir);
  return connectedTo(source, 'cypher migrate', async (client) => {
    const run = await namesOfRun(client);
    const missing = names.filter((name) => !run.has(name));
    const mine: string[] = [];
    try {
      for (const name of missing) if (await runOnce(client, dir, name)) mine.push(name);
    } catch (error) {
      // No privilege to make a table, or none to use the schema.
      if (!['42501', '3F000'].includes((error as { code?: string }).code ?? '')) throw error;
      throw new MigrationsMissing(missing, error as Error);
    }
    return mine;
  });
}

/** The names of the migrations in a directory, in their order. */
export const namesOf = async (dir: string): Promise<string[]> =>
  (await readdir(dir)).map((file) => basename(file, '.sql')).sort();

/**
 * How long a migration waits for the lock of a table. While it waits, all requests to that table wait behind it. So it gives
 * up soon and tries again, as long as a backup may take.
 */
const lockMs = 500;
const tryAgainAfterMs = 2000;
const mostTries = 1000;

/** False if another instance has run it meanwhile. */
async function runOnce(client: pg.Client, dir: string, name: string): Promise<boolean> {
  for (let tries = 1; ; tries++) {
    try {
      return await runUnlessRun(client, dir, name);
    } catch (error) {
      const lockNotAvailable = '55P03';
      if ((error as { code?: string }).code !== lockNotAvailable || tries >= mostTries) throw error;
      await sleep(tryAgainAfterMs);
    }
  }
}

async function runUnlessRun(client: pg.Client, dir: string, name: string): Promise<boolean> {
  const text = await textOf(dir, name);
  for (let at = firstStep; ; ) {
    const next = await inLongTransaction(client, '', async () => {
      await client.query(lock);
      await client.query(`set local lock_timeout = ${lockMs}`);
      await createMigrationsTable(client);
      if ((await namesOfRun(client)).has(name)) return 'run before';
      const following = await runStep(client, text, at);
      if (following === undefined) await note(client, name);
      return following ?? 'run';
    });
    if (next === 'run' || next === 'run before') return next === 'run';
    at = next;
  }
}

/** Runs a migration and notes that it has run, in the transaction of `client`. */
export async function runMigration(client: pg.Client, dir: string, name: string): Promise<void> {
  const text = await textOf(dir, name);
  for (let at: Step | undefined = firstStep; at; ) at = await runStep(client, text, at);
  await note(client, name);
}

/** What the step before has returned as `next`: where this one goes on. */
interface Step {
  after: string;
}

const firstStep: Step = { after: '' };
const inSteps = '-- Up Migration in steps';

/**
 * Runs a migration, or one step of a migration in steps, and returns the next step. A migration in steps is one
 * statement. It is repeated, with what it returned as $1, until it returns null. It may be interrupted and begun again.
 */
async function runStep(client: pg.Client, text: string, { after }: Step): Promise<Step | undefined> {
  if (!text.startsWith(inSteps)) {
    await client.query(text);
    return undefined;
  }
  const { rows } = await client.query<{ next: string | null }>(text, [after]);
  const next = rows[0]?.next ?? undefined;
  return next === undefined ? undefined : { after: next };
}

const textOf = (dir: string, name: string): Promise<string> => readFile(join(dir, `${name}.sql`), 'utf8');

const note = (client: pg.Client, name: string) =>
  client.query(`insert into ${migrationsTable} (name, run_on) values ($1, now())`, [name]);

/** Null if there is no such table. Others of the same name may be in other schemas. */
const inOurSchema = (table: string): string => `to_regclass(quote_ident(current_schema()) || '.${table}')`;

export async function createMigrationsTable(client: pg.Client): Promise<void> {
  // Earlier versions made it in the schema public, whatever the schema of the other tables.
  await client.query(
    `do $$ begin
       if ${inOurSchema(migrationsTable)} is null and to_regclass('public.${migrationsTable}') is not null
         and ${inOurSchema('accounts')} is not null
       then execute format('alter table public.${migrationsTable} set schema %I', current_schema()); end if;
     end $$`,
  );
  await client.query(
    `create table if not exists ${migrationsTable}
     (id serial primary key, name varchar(255) not null, run_on timestamp not null)`,
  );
}

async function namesOfRun(client: pg.Client): Promise<Set<string>> {
  const look = `select ${inOurSchema(migrationsTable)} is not null as there`;
  const { rows: found } = await client.query<{ there: boolean }>(look);
  if (!found[0]?.there) return new Set();
  const { rows } = await client.query<{ name: string }>(`select name from ${migrationsTable}`);
  return new Set(rows.map(({ name }) => name));
}
