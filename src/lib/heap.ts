/** When V8 collects the whole heap: once after the start, and rarely from then on. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * V8 would collect again as soon as the old heap has grown by a tenth, under load every few seconds, for it takes that to be
 * cheap: other cores mark what lives. On a container's one core the marking takes 50 to 100 ms from the requests. Now the old
 * heap doubles first, by some 40 MB under load; nothing at rest.
 */
export function collectRarely(): void {
  setFlagsFromString('--heap-growing-percent=100');
}

/**
 * Gives back what only the start needed: source texts, migrations, configuration that has been read. One collection that
 * also shrinks the heap, in some 60 ms of a blocked event loop: once, and not while the first requests come in. V8 would keep
 * the young generation as large as loading the modules had made it: some 35 MB.
 */
export function shrinkHeapAfterStart(waitMs: number): void {
  setTimeout(() => {
    setFlagsFromString('--expose-gc');
    const collect: Collect = runInNewContext('gc');
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }, waitMs).unref();
}
