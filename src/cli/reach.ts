/** The database for commands that work while the server runs, and while it does not. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/load.ts';
import { runningPostgresUrl, startEmbeddedPostgres } from '../storage/embedded_postgres.ts';

/**
 * Runs `work` with the database's URL. An embedded PostgreSQL that no server runs is started for as long as that takes, and
 * made where there is none if `make` is true. Otherwise rejects there.
 */
export async function withDatabase<T>(
  config: Config,
  { make }: { make: boolean },
  work: (url: string) => Promise<T>,
): Promise<T> {
  if (config.DATABASE_URL) return work(config.DATABASE_URL);
  const { DATA_DIR: dataDir } = config;
  if (!make && !existsSync(join(dataDir, 'postgres')))
    throw new Error(`there is no database in DATA_DIR ${dataDir}: set DATABASE_URL, or the right DATA_DIR`);
  const own = await startEmbeddedPostgres({ dataDir }).catch((error: Error) => {
    if (error.message.startsWith('Another provider runs on DATA_DIR')) return undefined;
    throw error;
  });
  if (!own) return work(await runningPostgresUrl(dataDir));
  try {
    return await work(own.url);
  } finally {
    await own.stop();
  }
}
