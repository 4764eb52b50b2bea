/**
 * Notices that files have changed. It looks at them every two seconds. Notices of the file system are not used: they
 * are lost where a directory is mounted from another machine, or where a link is replaced, as Kubernetes does.
 */
import { stat } from 'node:fs/promises';

const lookEveryMs = 2000;

/**
 * Calls `onChange` after one of the files has changed, and once after the start. A file that still changes between two
 * looks is being written, so it is left until it is the same twice. The returned function ends the watch.
 */
export function watchFiles(paths: readonly string[], onChange: () => Promise<void>): () => void {
  let settled: string | undefined;
  let seen: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let ended = false;

  async function look(): Promise<void> {
    const state = (await Promise.all(paths.map(stateOf))).join();
    if (state !== settled && state === seen) {
      settled = state;
      await onChange();
    }
    seen = state;
    wait();
  }

  function wait(): void {
    if (!ended) timer = setTimeout(look, lookEveryMs).unref();
  }

  wait();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

const stateOf = (path: string): Promise<string> =>
  stat(path).then(
    ({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`,
    () => 'unreadable',
  );
