/** The database for commands that work whether or not the server runs. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/load.ts';
import { runningPostgresUrl, startEmbeddedPostgres } from '../storage/embedded_postgres.ts';

/**
 * Runs `work` with the URL of the database. An embedded PostgreSQL that is not running is started and stopped again.
 * If there is no database, it is created if `make` is true; otherwise this rejects.
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
