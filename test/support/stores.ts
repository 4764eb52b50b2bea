/** A migrated database, and a clock of its own, for tests of single stores. */
import { type Database, openDatabase } from '../../src/storage/database.ts';
import { createMigratedDatabase, generousTimeouts } from './databases.ts';

export async function openStores() {
  const { url, drop } = await createMigratedDatabase();
  const database = openDatabase(url, { onIdleError: () => {}, timeouts: generousTimeouts });
  let at = Date.now();
  const now = () => at;
  return {
    database,
    now,
    /** Turns the clock. */
    pass(seconds: number) {
      at += seconds * 1000;
    },
    async close() {
      await database.close();
      await drop();
    },
  };
}

/** Whether short-lived state is kept under this key. */
export async function keptState({ database }: { database: Database }, key: string): Promise<boolean> {
  return (await database.query('select from ephemeral where key = $1', [key])).length > 0;
}
