/**
 * A circuit breaker. It tells a database that is gone from one that is slow. If an answer is late, it asks PostgreSQL
 * something else, on a connection of its own. If that is answered, the database is only slow, and everybody goes on
 * waiting. Otherwise PostgreSQL hangs: all who wait are refused, and so is everybody else until it answers again.
 * Refused connections need no breaker, because they fail at once.
 */
import { unavailable } from '../lib/errors.ts';
import { afterLate } from './late.ts';

export interface Breaker {
  /** Throws AppError 503 while PostgreSQL hangs. */
  check(): void;
  /** The same promise. It rejects with AppError 503 as soon as PostgreSQL is known to hang. */
  watch<T>(answer: Promise<T>): Promise<T>;
  /** Whether `check` would throw. */
  isOpen(): boolean;
  /** Stops the probe. */
  stop(): void;
}

/** Asks PostgreSQL for anything. Rejects if it is not answered within this time. */
export type Probe = (withinMs: number) => Promise<unknown>;

interface Waiting {
  since: number;
  giveUp(error: Error): void;
}

const lookEveryMs = 50;
const probeAgainAfterMs = 100;

/** `goneMs`: how long everybody waits for a database that hangs. A third of it passes before it is suspected. */
export function createBreaker(probe: Probe, goneMs: () => number): Breaker {
  const suspectAfterMs = () => goneMs() / 3;
  /** In the order in which they began to wait. */
  const waiting = new Set<Waiting>();
  let cause: Error | undefined;
  let answeredAt = Number.NEGATIVE_INFINITY;
  let probing = false;
  let stopped = false;
  let looking: NodeJS.Timeout | undefined;

  function look(): void {
    const [oldest] = waiting;
    if (!oldest) {
      clearInterval(looking);
      looking = undefined;
      return;
    }
    const since = Math.max(oldest.since, answeredAt);
    if (performance.now() - since > suspectAfterMs()) void ask();
  }

  async function ask(): Promise<void> {
    if (probing || stopped) return;
    probing = true;
    try {
      await probe(goneMs() - suspectAfterMs() - lookEveryMs);
      answeredAt = performance.now();
      cause = undefined;
    } catch (error) {
      open(error as Error);
      setTimeout(ask, probeAgainAfterMs).unref();
    } finally {
      probing = false;
    }
  }

  function open(error: Error): void {
    cause = error;
    for (const { giveUp } of waiting) giveUp(unavailable(error));
    waiting.clear();
  }

  return {
    check() {
      if (cause) throw unavailable(cause);
    },
    isOpen: () => cause !== undefined,
    watch: (answer) =>
      new Promise((resolve, reject) => {
        const mine: Waiting = { since: performance.now(), giveUp: reject };
        waiting.add(mine);
        looking ??= setInterval(() => afterLate(look), lookEveryMs).unref();
        answer.then(
          (value) => {
            waiting.delete(mine);
            resolve(value);
          },
          (error) => {
            waiting.delete(mine);
            reject(error);
          },
        );
      }),
    stop() {
      stopped = true;
      clearInterval(looking);
    },
  };
}
