/** Starts the server. Checks the configuration before anything else is loaded. */
import { type Config, loadConfig } from './config/load.ts';
import { explainStartFault } from './config/start_faults.ts';
import { root } from './root.ts';

let config: Config | undefined;
try {
  config = loadConfig(root);
  const { serve } = await import('./serve.ts');
  await serve(config);
} catch (error) {
  const { message, code } = explainStartFault(error as Error, config);
  process.stderr.write(`${message}\n`);
  process.exit(code);
}
