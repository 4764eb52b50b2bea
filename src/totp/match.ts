/** Finds the time step that a code belongs to (RFC 6238). Pure. */
import { verifySync } from 'otplib';

const stepSeconds = 30;
/**
 * A code that is off by at most this much makes us say that a clock is wrong. Phones without a network drift by
 * minutes, not by hours. The code of such a step is invalidated for twice as long.
 */
export const clockHintSeconds = 600;

export interface StepMatch {
  step: number;
  /** Whether the code is valid now. Otherwise the clock of the phone is wrong. */
  isNow: boolean;
}

/**
 * The step of the code, or undefined. It must be later than `afterStep`, the last one that was used. Steps further
 * away are tried only if the code is not valid now.
 */
export function matchingStep(
  { secret, code: token, afterStep }: { secret: string; code: string; afterStep: number | null },
  nowMs: number,
): StepMatch | undefined {
  const epoch = Math.floor(nowMs / 1000);
  const after = afterStep === null ? {} : { afterTimeStep: afterStep };
  // otplib throws if the last used step is in the future. After a clock was set back, the code must only be refused.
  if (afterStep !== null && afterStep > Math.floor(epoch / stepSeconds)) return undefined;
  for (const epochTolerance of [stepSeconds, clockHintSeconds]) {
    const result = verifySync({ secret, token, epoch, epochTolerance, ...after });
    if (result.valid && 'timeStep' in result)
      return { step: result.timeStep, isNow: epochTolerance === stepSeconds };
  }
  return undefined;
}
