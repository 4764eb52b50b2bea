/** Gives back what only the start needed: source texts, migrations, configuration that has been read. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * One collection that also shrinks the heap, in some 60 ms of a blocked event loop: once, and not while the first
 * requests come in. V8 would keep the young generation as large as loading the modules had made it: some 35 MB.
 */
export function shrinkHeapAfterStart(waitMs: number): void {
  setTimeout(() => {
    setFlagsFromString('--expose-gc');
    const collect: Collect = runInNewContext('gc');
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }, waitMs).unref();
}
