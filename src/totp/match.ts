/** Which time step a code is right for (RFC 6238). Pure. */
import { verifySync } from 'otplib';

const stepSeconds = 30;
/**
 * How far a clock may be off for a person to be told so: phones without a network drift by minutes, not by hours. A code of
 * another step is invalidated for twice as long.
 */
export const clockHintSeconds = 600;

export interface StepMatch {
  step: number;
  /** Whether the code is right now. Otherwise the clock of the phone is wrong. */
  isNow: boolean;
}

/**
 * The step after `afterStep` that the code is right for, or undefined. Steps further off are looked at only for a code that is
 * refused.
 */
export function matchingStep(
  { secret, code: token, afterStep }: { secret: string; code: string; afterStep: number | null },
  nowMs: number,
): StepMatch | undefined {
  const epoch = Math.floor(nowMs / 1000);
  const after = afterStep === null ? {} : { afterTimeStep: afterStep };
  // A clock that was set back must refuse, not fail: otplib throws if the last used step lies in the future.
  if (afterStep !== null && afterStep > Math.floor(epoch / stepSeconds)) return undefined;
  for (const epochTolerance of [stepSeconds, clockHintSeconds]) {
    const result = verifySync({ secret, token, epoch, epochTolerance, ...after });
    if (result.valid && 'timeStep' in result)
      return { step: result.timeStep, isNow: epochTolerance === stepSeconds };
  }
  return undefined;
}
