/** Starts the server: the configuration, checked, then everything else. */
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { ConfigError, loadConfig } from './config/load.ts';

/** sysexits.h: a configuration error. */
const EX_CONFIG = 78;

try {
  const config = loadConfig();
  // Compiled code is kept where only this user can write: a later start loads in two thirds of the time.
  enableCompileCache(join(config.DATA_DIR, 'compile-cache'));
  const { serve } = await import('./serve.ts');
  await serve(config);
} catch (error) {
  const configuration = error instanceof ConfigError || (error as Error).name === 'WrongKeyEncryptionKey';
  const { message, stack } = error as Error;
  process.stderr.write(`${configuration ? message : `Cypher cannot start: ${stack}`}\n`);
  process.exit(configuration ? EX_CONFIG : 1);
}
