/** Every second, reads the keys that other processes have changed and makes the changes that are due. */
import type { Log } from '../lib/log.ts';
import type { Keyring } from './keyring.ts';
import type { Rotation } from './rotation.ts';

const everyMs = 1000;

/**
 * Starts to watch, and returns the function that stops it. While PostgreSQL is down, the known keys stay in use. It
 * polls instead of waiting for notifications, so no change can be missed.
 */
export function watchKeys({
  keyring,
  rotation,
  log,
}: {
  keyring: Keyring;
  rotation: Rotation;
  log: Pick<Log, 'warn'>;
}): () => void {
  let looking = false;
  let failing = false;
  let stopped = false;

  async function look(): Promise<void> {
    await keyring.refresh();
    if (!rotation.isDue(keyring.all())) return;
    await rotation.run();
    await keyring.refresh();
  }

  const timer = setInterval(async () => {
    if (looking || stopped) return;
    looking = true;
    try {
      await look();
      failing = false;
    } catch (cause) {
      if (!failing && !stopped)
        log.warn({ cause }, 'the keys cannot be looked at: those that are known go on');
      failing = true;
    }
    looking = false;
  }, everyMs);
  timer.unref();
  return () => {
    stopped = true;
    clearInterval(timer);
  };
}
