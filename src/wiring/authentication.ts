/** Wires how people prove who they are, both at the sign-in and on the account page. */
import { createPasswords } from '../authentication/password.ts';
import { createSecondFactor } from '../authentication/second_factor.ts';
import { createSignUp } from '../authentication/sign_up.ts';
import { createStepUp } from '../authentication/step_up.ts';
import { unansweredEvent } from '../interaction/outcomes.ts';
import type { Ground } from './deps.ts';
import type { Foundations } from './foundations.ts';
import { createSignInEvents } from './sign_in_events.ts';

export type Authentication = ReturnType<typeof wireAuthentication>;

export function wireAuthentication(ground: Ground, foundations: Foundations) {
  const { database, metrics, now } = ground;
  const { accounts, buckets, ephemeral, failures, invitations, opaque } = foundations;
  const { resets, sealer, stepTokens, totp } = foundations;
  const signInEvents = createSignInEvents(ground);
  const passwords = createPasswords({
    accounts,
    opaque,
    failures,
    buckets,
    ephemeral,
    sealer,
    onUnanswered(attempt) {
      metrics.steps.inc({ step: attempt.step, outcome: 'unanswered' });
      signInEvents.always(unansweredEvent(attempt));
    },
    now,
  });
  const secondFactor = createSecondFactor({
    accounts,
    totp,
    failures,
    buckets,
    stepTokens,
    resets,
    database,
  });
  return {
    passwords,
    signUp: createSignUp({ accounts, invitations, opaque, ephemeral }),
    secondFactor,
    stepUp: createStepUp({ passwords, secondFactor, totp, stepTokens, accounts, query: database.query }),
    signInEvents,
  };
}
