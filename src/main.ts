/** Starts the server: the configuration, checked, then everything else. */
import { mkdirSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { type Config, loadConfig } from './config/load.ts';
import { explainStartFault } from './config/start_faults.ts';

let config: Config | undefined;
try {
  config = loadConfig();
  keepCompiledCode(config.DATA_DIR);
  const { serve } = await import('./serve.ts');
  await serve(config);
} catch (error) {
  const { message, code } = explainStartFault(error as Error, config);
  process.stderr.write(`${message}\n`);
  process.exit(code);
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
