/**
 * How long a request waits for PostgreSQL: one measure for all its statements together. With a limit for each of them, a
 * slow connection and then a slow statement would add up, and nobody is helped by an answer after whole seconds.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { unavailable } from '../lib/errors.ts';

export interface Patience {
  /** Runs `work` with a measure of its own, until it settles: what it leaves behind (a timer, say) has none. */
  bounded<T>(work: () => Promise<T>): Promise<T>;
  /** The same promise; rejects with AppError 503 when the measure is full. Outside of `bounded` there is none. */
  wait<T>(answer: Promise<T>): Promise<T>;
}

interface Measure {
  leftMs: number;
  /** Statements that are under way side by side: their time counts once. */
  waiting: number;
  since: number;
  over: boolean;
}

/** `mostMs`: what one request may wait in all. */
export function createPatience(mostMs: number): Patience {
  const measures = new AsyncLocalStorage<Measure>();
  return {
    async bounded(work) {
      const measure: Measure = { leftMs: mostMs, waiting: 0, since: 0, over: false };
      try {
        return await measures.run(measure, work);
      } finally {
        measure.over = true;
      }
    },
    async wait(answer) {
      const measure = measures.getStore();
      if (!measure || measure.over) return answer;
      if (measure.waiting === 0) measure.since = performance.now();
      measure.waiting += 1;
      const leftMs = measure.leftMs - (performance.now() - measure.since);
      let timer: NodeJS.Timeout | undefined;
      const full = new Promise<never>((_, reject) => {
        const giveUp = () => reject(unavailable(new Error('the request has waited for storage long enough')));
        timer = setTimeout(giveUp, Math.max(0, leftMs));
      });
      try {
        return await Promise.race([answer, full]);
      } finally {
        clearTimeout(timer);
        measure.waiting -= 1;
        if (measure.waiting === 0) measure.leftMs -= performance.now() - measure.since;
      }
    },
  };
}
