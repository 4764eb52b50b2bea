/**
 * A circuit breaker: once PostgreSQL has let one statement or handshake time out, nobody else waits for it. A request of
 * several statements would otherwise wait once for each of them. A probe in the background closes it again. Refused
 * connections need no breaker, for they fail at once.
 */
import { unavailable } from '../lib/errors.ts';

export interface Breaker {
  /** Throws AppError 503 while PostgreSQL is known to hang. */
  check(): void;
  /** To be told of every failure; opens where it says that PostgreSQL hangs. */
  failed(error: unknown): void;
  stop(): void;
}

const probeAgainAfterMs = 100;
// Not pg-pool's wait for a free connection: a pool in full use is no sign of a database that hangs.
const hangs = /Query read timeout|Connection terminated due to connection timeout/;

/** `probe` asks PostgreSQL anything, within a bounded time. */
export function createBreaker(probe: () => Promise<unknown>): Breaker {
  let cause: Error | undefined;
  let stopped = false;

  function probeUntilClosed(): void {
    probe().then(
      () => {
        cause = undefined;
      },
      () => {
        if (!stopped) setTimeout(probeUntilClosed, probeAgainAfterMs).unref();
      },
    );
  }
  return {
    check() {
      if (cause) throw unavailable(cause);
    },
    failed(error) {
      if (cause || !(error instanceof Error) || !hangs.test(error.message)) return;
      cause = error;
      // At once: one statement that was slow by itself then costs the others a moment and no more.
      probeUntilClosed();
    },
    stop() {
      stopped = true;
    },
  };
}
