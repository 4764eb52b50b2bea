/** Runs all checks, each after those that it depends on. A check that cannot run reports a fault. Changes nothing. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { keyEncryptionKey } from '../../config/key_encryption_key.ts';
import { type Config, ConfigError, loadConfig, misnamedSettings } from '../../config/load.ts';
import { redisTarget } from '../../config/redis.ts';
import type { Keyring } from '../../keys/keyring.ts';
import { root } from '../../root.ts';
import { derivedFor } from '../../server_keys.ts';
import { followDatabaseClock } from '../../storage/clock.ts';
import { openDatabase, timeoutsOfCommand } from '../../storage/database.ts';
import { runningPostgresUrl } from '../../storage/embedded_postgres.ts';
import { hashFiles } from '../../storage/instances.ts';
import { openKeys } from '../keyring.ts';
import { checkClock, checkDatabase } from './database.ts';
import { examine, type Finding } from './finding.ts';
import { checkHistory } from './history.ts';
import { checkInstances } from './instances.ts';
import { checkIssuer, checkProxy } from './issuer.ts';
import { checkRedis } from './redis.ts';

/** The findings in the order of the checks. If the configuration has faults, only these. */
export async function diagnose(): Promise<Finding[]> {
  let config: Config;
  try {
    config = loadConfig(root);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map((found) => ({
      about: 'configuration',
      level: 'fault',
      found,
      change: 'set it right: nothing else was looked at',
    }));
  }
  return [
    { about: 'configuration', level: 'ok', found: 'has no fault' },
    ...misnamedSettings().map(
      (found): Finding => ({
        ...{ about: 'configuration', level: 'warning', found },
        change: 'rename it, or take it away',
      }),
    ),
    ...(await examineStorage(config)),
    ...(await examine('redis', 'set REDIS_URL to a Redis that this machine reaches', () =>
      checkRedis(redisTarget(config)),
    )),
    ...(await examine('issuer', 'set ISSUER to the address that people and apps reach the server at', () =>
      checkIssuer(config.ISSUER),
    )),
  ];
}

async function examineStorage(config: Config): Promise<Finding[]> {
  const change = 'set DATABASE_URL to a PostgreSQL that this machine reaches, with its user and password';
  let url: string;
  try {
    url = config.DATABASE_URL ?? (await runningPostgresUrl(config.DATA_DIR));
  } catch (error) {
    return [{ about: 'database', level: 'fault', found: (error as Error).message, change }];
  }
  const database = openDatabase(url, { onIdleError: () => {}, timeouts: timeoutsOfCommand });
  try {
    const found = await examine('database', change, () => checkDatabase(database));
    // A single finding means that the database does not answer, so the other checks are skipped.
    if (found.length === 1) return found;
    const { now, stop } = await followDatabaseClock(database);
    stop();
    let keyring: Keyring | undefined;
    return [
      ...found,
      ...(await examine('clock', change, () => checkClock(database))),
      ...(await examine('key-encryption key', 'give the one that the server has', async () => {
        const file = join(config.DATA_DIR, 'key_encryption_key');
        if (!config.KEY_ENCRYPTION_KEY && !existsSync(file)) {
          throw new Error(`there is no KEY_ENCRYPTION_KEY, and no ${file}`);
        }
        const { path } = keyEncryptionKey(config);
        ({ keyring } = await openKeys({ config, database, now }));
        if (path === undefined) return [{ level: 'ok', found: "opens the database's keys" }];
        return [
          {
            level: 'warning',
            found: `opens the database's keys, and lies in ${path}`,
            change:
              'keep a copy elsewhere than the backups of the database; in production set KEY_ENCRYPTION_KEY_FILE',
          },
        ];
      })),
      ...(await examine('history', 'see "database"', async () =>
        keyring ? checkHistory(database.query, config, keyring.all()) : [],
      )),
      ...(await examine('instances', 'see "database"', async () =>
        keyring
          ? checkInstances(
              database.query,
              hashFiles(keyring.derive(derivedFor.fileHashes), config.digests),
              now(),
            )
          : [],
      )),
      ...(await examine('proxy', 'see "issuer"', async () =>
        keyring ? checkProxy(config.ISSUER, keyring.derive(derivedFor.doctor), now()) : [],
      )),
    ];
  } finally {
    await database.close();
  }
}
