/** `npx cypher backup` and `npx cypher restore`: the whole database in one file, without pg_dump. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type Config, loadConfig } from '../config/load.ts';
import { readKeys } from '../keys/store.ts';
import type { Ended } from '../revocation/end_everything.ts';
import { root } from '../root.ts';
import { writeBackup } from '../storage/backup.ts';
import { type BackupReader, openBackup } from '../storage/backup_reader.ts';
import { restoreBackup } from '../storage/restore.ts';
import { withDatabase } from './reach.ts';
import { endRestored, freshKeys, sealerOf, seenOutside, summaryOf } from './restored.ts';
import { print, type Stage, stageAt } from './stage.ts';

interface RestoreOptions {
  replace?: boolean;
  keepClients?: boolean;
}

/** Defines the command `backup`. */
export function describeBackup(backup: Command): void {
  backup.argument('<file>').action((file: string) => backUp(loadConfig(root), file));
}

/** Defines the command `restore`. */
export function describeRestore(command: Command): void {
  command
    .argument('<file>')
    .option('--replace', 'the database is not empty: erase everything in it first')
    .option('--keep-clients', 'the apps of the backup go on, also those that were removed since')
    .action((file: string, options: RestoreOptions) => restore(loadConfig(root), file, options));
}

const keyFile = (config: Config) => join(config.DATA_DIR, 'key_encryption_key');

async function backUp(config: Config, file: string): Promise<void> {
  const { tables, madeAt } = await withDatabase(config, { make: false }, (url) =>
    stageAt(config, url, async ({ audit }) => {
      const header = await writeBackup(url, file);
      audit.record({ event: 'backup.made' });
      return header;
    }),
  );
  print(`${file}: ${tables.length} tables, as they were at ${madeAt}.`);
  const where = config.KEY_ENCRYPTION_KEY ? 'KEY_ENCRYPTION_KEY' : keyFile(config);
  print(
    `The key-encryption key is not in it. Keep a copy of ${where} in another place: without it the backup is of no use.`,
  );
}

async function restore(config: Config, file: string, options: RestoreOptions): Promise<void> {
  if (!config.KEY_ENCRYPTION_KEY && !existsSync(keyFile(config))) {
    throw new Error(
      `the key-encryption key is not in the backup: set the KEY_ENCRYPTION_KEY that the server had, or put its file back at ${keyFile(config)}`,
    );
  }
  const backup = await openBackup(file);
  try {
    const ended = await withDatabase(config, { make: true }, (url) =>
      stageAt(config, url, (stage) => putBack(stage, url, backup, options)),
    );
    print(`The database is as it was at ${backup.header.madeAt}.`);
    for (const line of summaryOf(ended)) print(line);
  } finally {
    backup.close();
  }
}

async function putBack(
  { config, audit, now }: Stage,
  url: string,
  backup: BackupReader,
  { replace = false, keepClients = false }: RestoreOptions,
): Promise<Ended> {
  const sealer = sealerOf(config);
  const fresh = await freshKeys();
  return restoreBackup(url, backup, {
    migrations: join(root, 'migrations'),
    replace,
    async finish(query) {
      // Rejects if another key-encryption key sealed the keys in the backup.
      const seen = await seenOutside(config, await readKeys(query, sealer));
      return endRestored(query, { sealer, fresh, seen, audit, now: now(), keepClients });
    },
  });
}
