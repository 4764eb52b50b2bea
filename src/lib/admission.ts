/**
 * A bound on costly work under way. What is past it is refused before anything is done, so that a rush or a flood takes
 * nothing from those who were let in, and all else goes on.
 */
import { overloaded } from './errors.ts';

export interface Admission {
  /** Throws AppError 503 while so much is under way that more would not be let in. */
  check(): void;
  /** Does the work, or throws AppError 503. */
  admit<T>(work: () => Promise<T>): Promise<T>;
}

/** Lets in up to `most` at once. */
export function createAdmission(most: number, onRefused: () => void): Admission {
  let underWay = 0;
  // One error for all refusals: a stack trace takes 10 µs, and a flood is refused thousands of times a second.
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
