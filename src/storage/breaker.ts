/**
 * A circuit breaker for PostgreSQL. One statement or one connection attempt that times out opens it. While it is
 * open, statements are refused at once, so a request with several statements does not wait for each of them. A probe
 * in the background closes it again. Refused connections need no breaker, because they fail at once.
 */
import { unavailable } from '../lib/errors.ts';

export interface Breaker {
  /** Throws AppError 503 while PostgreSQL is known to hang. */
  check(): void;
  /** Whether `check` would throw. */
  isOpen(): boolean;
  /** Report every failure here. Opens the breaker if the error says that PostgreSQL hangs. */
  failed(error: unknown): void;
  /** Stops the probe. */
  stop(): void;
}

const probeAgainAfterMs = 100;
// pg-pool's timeout for a free connection is left out, because a fully used pool is no sign of a hanging database.
const hangs = /Query read timeout|Connection terminated due to connection timeout/;

/** `probe` sends PostgreSQL any statement, and must settle within a bounded time. */
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
    isOpen: () => cause !== undefined,
    failed(error) {
      if (cause || !(error instanceof Error) || !hangs.test(error.message)) return;
      cause = error;
      // The probe starts at once. If only this one statement was slow, the breaker closes again after a moment.
      probeUntilClosed();
    },
    stop() {
      stopped = true;
    },
  };
}
