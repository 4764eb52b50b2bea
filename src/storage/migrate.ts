/** Brings the database's tables up to date. Forward only; every file of migrations/ is one transaction. */
import { runner } from 'node-pg-migrate';

/**
 * Runs what is missing of `dir`. Instances that start at once wait for one another on an advisory lock.
 * Returns the names of the migrations that were run.
 */
export async function migrate(databaseUrl: string, dir: string): Promise<string[]> {
  const run = await runner({
    databaseUrl,
    dir,
    direction: 'up',
    migrationsTable: 'migrations',
    singleTransaction: false,
    advisoryLockMode: 'wait',
    log: () => {},
  });
  return run.map((migration) => migration.name);
}
