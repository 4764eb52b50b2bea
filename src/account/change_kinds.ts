/** The kinds of change that a person makes to their own sign-in, and the proof that each of them asks for. Pure. */
import type { Exchange } from '../authentication/exchange.ts';
import { lifeSeconds } from '../lifetimes.ts';

/** As in the addresses of their pages. */
export const changes = ['password', 'authenticator', 'recovery-codes'] as const;
export type Change = (typeof changes)[number];

/** What the proof of a change is given for. */
export const exchangeOf = ({ sessionUid }: { sessionUid: string }, change: Change): Exchange => ({
  for: 'account',
  session: sessionUid,
  change,
});

/** How long the proof of a change is good for. */
export const secondsOf = (change: Change): number =>
  change === 'authenticator' ? lifeSeconds.setUpToken : lifeSeconds.stepToken;
