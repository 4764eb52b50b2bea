/** Starts the server: the configuration, checked, then everything else. */
import { mkdirSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { ConfigError, loadConfig } from './config/load.ts';

/** sysexits.h: a configuration error. */
const EX_CONFIG = 78;

try {
  const config = loadConfig();
  keepCompiledCode(config.DATA_DIR);
  const { serve } = await import('./serve.ts');
  await serve(config);
} catch (error) {
  const configuration = error instanceof ConfigError || (error as Error).name === 'WrongKeyEncryptionKey';
  const { message, stack } = error as Error;
  process.stderr.write(`${configuration ? message : `Cypher cannot start: ${stack}`}\n`);
  process.exit(configuration ? EX_CONFIG : 1);
}

/** A later start loads in two thirds of the time. Kept where only this user can write: it is code that will be run. */
function keepCompiledCode(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch {
    // A read-only file system, as in a container that is given all its secrets: the start is slower, that is all.
    return;
  }
  enableCompileCache(join(dataDir, 'compile-cache'));
}
