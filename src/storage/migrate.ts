/** Runs the migrations of the database, forward only. Each file of migrations/ is one transaction. */
import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import pg from 'pg';

/** The table with the names of the migrations that have run. */
export const migrationsTable = 'migrations';

/**
 * Runs the migrations of the directory `dir` that have not run yet, and returns their names. Instances that start
 * concurrently wait for one another on an advisory lock.
 */
export async function migrate(databaseUrl: string, dir: string): Promise<string[]> {
  if (await isUpToDate(databaseUrl, dir)) return [];
  // Loaded only if there is something to run: most starts need not wait for this library.
  const { runner } = await import('node-pg-migrate');
  const run = await runner({
    databaseUrl,
    dir,
    direction: 'up',
    migrationsTable,
    singleTransaction: false,
    advisoryLockMode: 'wait',
    log: () => {},
  });
  return run.map((migration) => migration.name);
}

async function isUpToDate(databaseUrl: string, dir: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'cypher' });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(`select name from ${migrationsTable}`);
    const run = new Set(rows.map(({ name }) => name));
    return (await readdir(dir)).every((file) => run.has(basename(file, '.sql')));
  } catch (error) {
    const undefinedTable = '42P01';
    if ((error as { code?: string }).code === undefinedTable) return false;
    throw error;
  } finally {
    await client.end();
  }
}
