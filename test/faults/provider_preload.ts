// Loaded by `node --import` before the server and the command line, so that the product needs no options for tests.
// It adds a clock that the harness can shift, ends the process when the harness ends, and edits sources as they are
// loaded (for broken builds).
import { registerHooks } from 'node:module';
import { mutated } from './mutations.ts';

const machineClock = Date.now;
let shiftMs = 0;
Date.now = () => machineClock() + shiftMs;

process.on('message', (message: { shiftMs: number }) => {
  shiftMs = message.shiftMs;
});
process.on('disconnect', () => process.exit(1));

const broken = process.env.FAULTS_BROKEN;
if (broken) {
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.includes('/src/') || !loaded.source) return loaded;
      return { ...loaded, source: mutated(broken, url, Buffer.from(loaded.source as Uint8Array).toString()) };
    },
  });
}
