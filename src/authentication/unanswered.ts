/**
 * Finds passwords whose proof was begun and never finished. A browser with the wrong password notices that from the
 * server's answer and sends nothing more. So a guess shows only by a second message that does not arrive. This file
 * counts no failures: the attempt was charged when it began. If this process stops, what it waits for is not
 * reported.
 */

export interface Unanswered<About> {
  /**
   * A proof has begun under this key. An earlier one under the same key can no longer be finished, and is reported.
   */
  begun(key: string, about: About): void;
  /** The second message has arrived, right or wrong. */
  finished(key: string): void;
  start(): void;
  stop(): void;
}

export interface UnansweredDeps<About> {
  /** How long the second message may take. */
  seconds: number;
  /**
   * Whether the state for the second message is still stored. It is not if another instance has handled that message.
   */
  isThere(key: string): Promise<boolean>;
  report(about: About): void;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/**
 * Above this number the oldest are reported before their deadline. Without it cheap requests could fill the memory.
 */
const mostKept = 20_000;
const lookEveryMs = 1000;

export function createUnanswered<About>(deps: UnansweredDeps<About>): Unanswered<About> {
  const { seconds, isThere, report, now } = deps;
  /** Ordered by deadline. */
  const waiting = new Map<string, { about: About; endsAt: number }>();
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    for (const [key, { about, endsAt }] of waiting) {
      if (endsAt > now() && waiting.size <= mostKept) return;
      waiting.delete(key);
      // If storage cannot answer, it is reported: most probably the proof was not finished.
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
