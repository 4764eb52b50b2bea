/** The database's URL as it is now. Its password may be changed while the server runs. */
import { readFileSync } from 'node:fs';
import { databaseUrlFault } from '../lib/database_url.ts';
import type { Config } from './load.ts';

/**
 * A function that reads DATABASE_URL_FILE anew, for each connection that is made. Only the URL itself if there is no such
 * file. Undefined if the database is the embedded one.
 */
export function databaseSource(
  config: Pick<Config, 'DATABASE_URL' | 'DATABASE_URL_FILE'>,
): string | (() => string) | undefined {
  const { DATABASE_URL: url, DATABASE_URL_FILE: file } = config;
  if (url === undefined || file === undefined) return url;
  let latest = url;
  return () => {
    try {
      const read = readFileSync(file, 'utf8').trim();
      if (databaseUrlFault(read) === undefined) latest = read;
    } catch {
      // The file is just being replaced. If the latest URL is of no use any more, PostgreSQL says so.
    }
    return latest;
  };
}
