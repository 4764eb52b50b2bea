/**
 * Passwords whose proof was begun and never finished. A browser that has the wrong password learns so from the server's answer
 * and sends nothing more, so a guess shows only by the second message that does not come. It owns no count: an attempt was
 * charged when it began. What this process knows of beginnings is lost with it.
 */

export interface Unanswered<About> {
  /** A proof has begun under this key. One that had begun under it before can no longer be finished. */
  begun(key: string, about: About): void;
  /** It was finished, well or not. */
  finished(key: string): void;
  start(): void;
  stop(): void;
}

export interface UnansweredDeps<About> {
  /** How long there is for the second message. */
  seconds: number;
  /** Whether what the second message needs is still there: another instance may have answered it. */
  isThere(key: string): Promise<boolean>;
  report(about: About): void;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** Past this the oldest are reported at once: a beginning costs its sender little, and this process some memory. */
const mostKept = 20_000;
const lookEveryMs = 1000;

export function createUnanswered<About>(deps: UnansweredDeps<About>): Unanswered<About> {
  const { seconds, isThere, report, now } = deps;
  /** In the order in which they end. */
  const waiting = new Map<string, { about: About; endsAt: number }>();
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    for (const [key, { about, endsAt }] of waiting) {
      if (endsAt > now() && waiting.size <= mostKept) return;
      waiting.delete(key);
      // While storage cannot say, it counts as what it most probably is.
      if (await isThere(key).catch(() => true)) report(about);
    }
  }

  function start(): void {
    timer = setTimeout(async () => {
      await look();
      if (timer) start();
    }, lookEveryMs).unref();
  }

  return {
    start,
    begun(key, about) {
      const before = waiting.get(key);
      if (before) report(before.about);
      waiting.delete(key);
      waiting.set(key, { about, endsAt: now() + seconds * 1000 });
    },
    finished: (key) => void waiting.delete(key),
    stop() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
