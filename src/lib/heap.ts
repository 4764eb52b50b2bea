/**
 * Returns the memory that only the start needed to the system, once.
 *
 * An idle server takes 102 MB with it and 122 MB without (`npm run bench -- --only start_up`, whose goal is 110 MB).
 * Loading the modules makes V8's young generation some 20 MB larger than requests need. The price: until the young
 * generation has grown again, a busy server collects it two to three times as often. `test/unit/heap.test.ts` fails
 * if a release of Node drops what is used here. To delete it, remove this file and its call.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * Collects the heap once, after `waitMs`. It blocks the event loop for some 60 ms, so let the first requests pass.
 */
export function shrinkHeapAfterStart(waitMs: number): void {
  setTimeout(() => {
    setFlagsFromString('--expose-gc');
    const collect: Collect = runInNewContext('gc');
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }, waitMs).unref();
}
