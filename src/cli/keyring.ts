/** Opens the server's keys, for the commands that need them. They need the key-encryption key. */
import { keyEncryptionKey } from '../config/key_encryption_key.ts';
import { type Keyring, openKeyring } from '../keys/keyring.ts';
import { createSealer, type Sealer } from '../lib/crypto.ts';
import { createLog } from '../lib/log.ts';
import { keyKinds } from '../server_keys.ts';
import type { Stage } from './stage.ts';

/** Rejects with WrongKeyEncryptionKey if another key-encryption key sealed the database's keys. */
export async function openKeys({
  config,
  database,
  now,
}: Pick<Stage, 'config' | 'database' | 'now'>): Promise<{ keyring: Keyring; sealer: Sealer }> {
  const sealer = createSealer(keyEncryptionKey(config).key, config.KEY_ENCRYPTION_KEY_PREVIOUS);
  return { keyring: await openKeyring(database, sealer, keyKinds, { log: createLog('warn'), now }), sealer };
}
