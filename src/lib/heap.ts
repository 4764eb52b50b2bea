/**
 * Gives back, once after the start, the memory that only the start needed.
 *
 * An idle server takes 102 MB with it and 122 MB without (`npm run bench -- --only start_up`, whose goal is 110 MB): loading the
 * modules makes V8's young generation some 20 MB larger than requests need. Until it has grown again, a busy server collects the
 * young generation two to three times as often. `test/unit/heap.test.ts` fails where a release of Node drops what is used here.
 * To delete it, remove this file and its call.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/** Collects once, after `waitMs`. It blocks the event loop for some 60 ms, so let the first requests come through before. */
export function shrinkHeapAfterStart(waitMs: number): void {
  setTimeout(() => {
    setFlagsFromString('--expose-gc');
    const collect: Collect = runInNewContext('gc');
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }, waitMs).unref();
}
