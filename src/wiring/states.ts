/** Which states the metrics show besides what is counted, and where they are read. */
import { keyAges } from '../server_keys.ts';
import { readDatabaseState } from '../storage/database_state.ts';
import type { Ground } from './deps.ts';
import type { Foundations } from './foundations.ts';

export function showStates(
  { cache, database, metrics, now }: Ground,
  { keyring }: Pick<Foundations, 'keyring'>,
): void {
  metrics.watch({
    pool: database.pool,
    breakerOpen: database.breakerOpen,
    cacheDegraded: () => cache.state() === 'degraded',
    database: () => readDatabaseState(database.query, now()),
    keyAges: () => keyAges(keyring, now()),
  });
}
