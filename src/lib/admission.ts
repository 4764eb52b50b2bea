/**
 * A bound on costly work that runs concurrently. More work is refused before anything is done. So neither many honest
 * requests nor an attack slow down the work that was admitted, or other requests.
 */
import { overloaded } from './errors.ts';

export interface Admission {
  /** Throws AppError 503 while no more work would be admitted. */
  check(): void;
  /** Runs the work, or throws AppError 503. */
  admit<T>(work: () => Promise<T>): Promise<T>;
}

/** Admits up to `most` pieces of work at a time. `onRefused` is called for each refusal. */
export function createAdmission(most: number, onRefused: () => void): Admission {
  let underWay = 0;
  // One error for all refusals: a stack trace takes 10 µs, and an attack may be refused thousands of times a second.
  const refusal = overloaded();
  function check(): void {
    if (underWay < most) return;
    onRefused();
    throw refusal;
  }
  return {
    check,
    async admit(work) {
      check();
      underWay += 1;
      try {
        return await work();
      } finally {
        underWay -= 1;
      }
    },
  };
}
