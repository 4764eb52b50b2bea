/**
 * Reads the key-encryption key from the configuration or DATA_DIR. It is the only secret that is not in the database.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, ConfigError } from './load.ts';

/**
 * The 32-byte key-encryption key. If none is configured, the first start makes one in DATA_DIR, which only this user
 * may read. `path` is that file then. Throws ConfigError if the file does not contain 32 bytes.
 */
export function keyEncryptionKey(config: Config): { key: Buffer; path?: string } {
  if (config.KEY_ENCRYPTION_KEY) return { key: config.KEY_ENCRYPTION_KEY };
  mkdirSync(config.DATA_DIR, { recursive: true, mode: 0o700 });
  const path = join(config.DATA_DIR, 'key_encryption_key');
  try {
    // `wx`: if two processes start concurrently on one DATA_DIR, one makes the key and the other reads it.
    writeFileSync(path, randomBytes(32).toString('base64url'), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const key = Buffer.from(readFileSync(path, 'utf8').trim(), 'base64url');
  if (key.length !== 32)
    throw new ConfigError([`${path} must hold 32 bytes as base64url: restore it from a backup`]);
  return { key, path };
}
